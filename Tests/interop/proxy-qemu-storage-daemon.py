# SPDX-License-Identifier: BSD-3-Clause
"""qemu-storage-daemon.py again, with vhushmem-probe's proxy in between."""

from _proxy import again

again("qemu-storage-daemon")
