// SPDX-License-Identifier: BSD-3-Clause

#if !os(Linux) && !VHUSHMEM_CROSS
    #error("Vhushmem supports Linux alone: it needs memfd, eventfd, epoll and the limits of Linux's mappings")
#endif
