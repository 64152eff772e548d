# SPDX-License-Identifier: BSD-3-Clause
"""The JSON of protocol features has every bit: by its name, the highest first, or in the number of the bits without a name."""
from _library import *

to_json = function("vhushmem_protocol_features_to_json", POINTER, U64)

for features in [0, ALL, *(1 << bit for bit in range(64)), *(ALL ^ 1 << bit for bit in range(64)), 0x5555555555555555]:
    told = parsed(to_json(features))
    named = [name for bit, name in reversed(list(enumerate(NAMES))) if features >> bit & 1]
    strings = told.pop("protocols")
    equal([string.partition(": ")[0] for string in strings], ["VHOST_USER_PROTOCOL_F_" + name for name in named], hex(features))
    check(all(string.partition(": ")[2] for string in strings), strings)
    unknown = features & ~((1 << len(NAMES)) - 1)
    equal(told, {"unknown-protocols": unknown} if unknown else {}, hex(features))
