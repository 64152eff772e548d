# SPDX-License-Identifier: BSD-3-Clause
"""The base of the tests of the library's JSON: the installed library itself, called by ctypes, and Python's own parser."""

import ctypes
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "probe"))
from _probe import *  # checks, files, and a back-end

library = ctypes.CDLL(os.environ.get("VHUSHMEM_LIBRARY") or sys.exit("VHUSHMEM_LIBRARY names no library"))
POINTER, U64, INT, BYTES = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p
ALL = 2**64 - 1

NAMES = [
    "MQ", "LOG_SHMFD", "RARP", "REPLY_ACK", "NET_MTU", "BACKEND_REQ", "CROSS_ENDIAN", "CRYPTO_SESSION", "PAGEFAULT", "CONFIG",
    "BACKEND_SEND_FD", "HOST_NOTIFIER", "INFLIGHT_SHMFD", "RESET_DEVICE", "INBAND_NOTIFICATIONS", "CONFIGURE_MEM_SLOTS", "STATUS",
    "XEN_MMAP", "SHARED_OBJECT", "DEVICE_STATE", "GET_VRING_BASE_INFLIGHT", "GPA_ADDRESSES", "SHMEM", "GET_VRING_BASE_SKIP_DRAIN",
]  # fmt: skip


def function(name, result, *arguments):
    it = getattr(library, name)
    it.restype, it.argtypes = result, arguments
    return it


g_free = function("g_free", None, POINTER)
frontend_new = function("vhushmem_frontend_new", POINTER, BYTES, POINTER, POINTER)
frontend_free = function("vhushmem_frontend_free", None, POINTER)
frontend_device = function("vhushmem_frontend_device", POINTER, POINTER)
frontend_connect = function("vhushmem_frontend_connect", INT, POINTER, INT, POINTER)
frontend_dispatch = function("vhushmem_frontend_dispatch", INT, POINTER)
device_new = function("vhushmem_device_new", POINTER, POINTER, POINTER)
device_unref = function("vhushmem_device_unref", None, POINTER)
region_new = function("vhushmem_region_new", POINTER, POINTER, ctypes.c_uint8, U64, POINTER, POINTER)
region_map = function("vhushmem_region_map", INT, POINTER, INT, U64, U64, U64, U64, POINTER)
channel_new = function("vhushmem_channel_new", POINTER, INT, POINTER, POINTER, POINTER)
channel_free = function("vhushmem_channel_free", None, POINTER)


def parsed(address):
    """The object in a text of the library, which this frees. UTF-8, no line break, and no key twice."""

    def once(pairs):
        value = dict(pairs)
        check(len(value) == len(pairs), "a key twice in", pairs)
        return value

    check(address, "there is no text")
    text = ctypes.string_at(address)
    g_free(address)
    check(all(byte >= 0x20 and byte != 0x7F for byte in text), "a control character in", text)
    value = json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=lambda name: check(False, name))
    check(isinstance(value, dict), f"no object: {text!r}")
    return value


def status_function(name, *arguments):
    it = function(name, POINTER, POINTER, *arguments)
    return lambda *values: parsed(it(*values))


status = status_function("vhushmem_status_json")
frontend_status = status_function("vhushmem_frontend_status_json", U64)
channel_status = status_function("vhushmem_channel_status_json", U64)
backend_status = status_function("vhushmem_backend_status_json")
device_status = status_function("vhushmem_device_status_json", U64)
region_status = status_function("vhushmem_region_status_json", U64)

__all__ = [name for name in globals() if not name.startswith("_")]
