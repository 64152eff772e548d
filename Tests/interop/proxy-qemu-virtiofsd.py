# SPDX-License-Identifier: BSD-3-Clause
"""qemu-virtiofsd.py again, with vhushmem-probe's proxy in between."""

from _proxy import again

again("qemu-virtiofsd")
