# SPDX-License-Identifier: BSD-3-Clause
"""A block device without a disk, for its configuration space. Usage: _blk.py SOCKET. On SIGUSR1 the device grows by a sector, and
reports that."""

import ctypes
import os
import select
import signal
import struct
import sys

library = ctypes.CDLL(os.environ["VHUSHMEM_LIBRARY"])
library.vhushmem_backend_new.restype = ctypes.c_void_p
SIZE = 60
HANDLERS = 64  # sizeof(vhushmem_backend_handlers)
sectors, asked, events = 100, 0, 0


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def on_queue(_backend, _queue, event, _message, _data):
    if event == 1:
        print("started", flush=True)


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
def get_config(_backend, offset, buffer, length, _data):
    global asked
    asked += 1
    space = struct.pack("<QII", sectors, 0, 126).ljust(SIZE, b"\0")
    ctypes.memmove(buffer, space[offset : offset + length], length)
    return 0


def main():
    global sectors
    # struct vhushmem_backend_options and the beginning of vhushmem_backend_handlers: backend.h.
    options = struct.pack("=IIIIQQIIII", 48, 0, 1, 0, 0, 0, SIZE, 0, 0, 0)
    handlers = struct.pack("=IIQQ", HANDLERS, 0, *(ctypes.cast(function, ctypes.c_void_p).value for function in (on_queue, get_config))).ljust(HANDLERS, b"\0")
    backend = ctypes.c_void_p(library.vhushmem_backend_new(options, None))
    assert library.vhushmem_backend_set_handlers(backend, handlers, None, None, None) == 0
    assert library.vhushmem_backend_listen(backend, sys.argv[1].encode(), None) == 0
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    while True:
        ready, _, _ = select.select([library.vhushmem_backend_get_fd(backend), reader], [], [])
        library.vhushmem_backend_dispatch(backend)
        if reader in ready:
            os.read(reader, 16)
            sectors += 1
            before = asked
            result = library.vhushmem_backend_config_changed(backend, None)
            print(f"told {result}, asked {asked - before}", flush=True)


main()
