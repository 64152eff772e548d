# SPDX-License-Identifier: BSD-3-Clause
"""Each of 20,000 live mappings is listed, in order and unchanged. Or only as many as wanted are listed, and the rest is counted."""
from _library import *

MANY = 20000
MAPPED = PAGE - 3
device = device_new(None, None)
regions = [region_new(device, shmid, 2 * MANY * PAGE, None, None) for shmid in (0, 255)]
fd = memfd(4 * PAGE)
for index in range(MANY):
    equal(region_map(regions[0], fd, index % 4 * PAGE, 2 * index * PAGE, MAPPED, index & 1, None), 0, "a map")
equal(region_map(regions[1], fd, 0, PAGE, PAGE, 0, None), 0, "a map")


def mapping(index):
    offset = index % 4 * PAGE
    return {"shm_offset": 2 * index * PAGE, "len": MAPPED, "fd_offset": offset, "rw": bool(index & 1), "broken": False}


seen = device_status(device, ALL)
equal([region["shmid"] for region in seen["regions"]], [0, 255], "regions")
equal(seen["regions"][0]["mappings"], [mapping(index) for index in range(MANY)], "mappings")
equal(seen["quotas"]["mappings"], {"used": MANY + 1, "limit": None}, "quota")
equal(seen["quotas"]["bytes"]["used"], (MANY + 1) * PAGE, "bytes")
check(2 * MANY <= seen["process"]["mappings"]["used"] <= seen["process"]["mappings"]["limit"], seen["process"])
equal([region["mappings_left_out"] for region in seen["regions"]], [0, 0], "left out")

seen = device_status(device, 100)
equal(seen["regions"][0]["mappings"], [mapping(index) for index in range(100)], "mappings")
equal([region["mappings_left_out"] for region in seen["regions"]], [MANY - 100, 0], "left out")
equal(region_status(regions[0], 100), seen["regions"][0], "the region alone")
device_unref(device)
