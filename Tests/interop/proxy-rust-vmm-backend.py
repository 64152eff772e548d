# SPDX-License-Identifier: BSD-3-Clause
"""rust-vmm-backend.py again, with vhushmem-probe's proxy in between."""

from _proxy import again

again("rust-vmm-backend")
