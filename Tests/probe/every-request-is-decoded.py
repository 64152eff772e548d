# SPDX-License-Identifier: BSD-3-Clause
"""The payload of every request and reply is shown field by field, and each byte has a name in Wireshark. Payloads of a wrong form are
shown as bytes."""
import random
import re

from _raw import *

N = struct.Struct("=Q").pack
STATE, REGION_, UUID = struct.pack("=II", 1, 7), struct.pack("=QQQQ", 1 << 20, 1 << 24, 1 << 40, 4096), bytes(range(16))
CONFIG_, INFLIGHT = struct.pack("=III", 0, 4, 0) + b"abcd", struct.pack("=QQHH4x", 4096, 0, 2, 64)
ADDR, LOG = struct.pack("=IIQQQQ", 0, 1, 16, 32, 48, 64), struct.pack("=QQ", 65536, 0)
IOTLB, AREA = struct.pack("=QQQBB6x", 4096, 8192, 12288, 3, 2), struct.pack("=QQQ", 1, 4096, 8192)
SHMEM_ = struct.pack("=II256Q", 1, 0, 4096, *[0] * 255)
MAPPED = MMAP.pack(3, 4096, 8192, 16384, 1)
ACK = N(0)
# Of each: the request, the answer, and a key of either.
MAIN = {
    1: (b"", N(5), "value"), 2: (N(5), ACK, "value"), 3: (b"", ACK, None), 4: (b"", ACK, None),
    5: (struct.pack("=II", 1, 0) + REGION_, ACK, "memory"), 6: (LOG, N(0), "mmap_size"), 7: (b"", ACK, None), 8: (STATE, ACK, "number"),
    9: (ADDR, ACK, "avail"), 10: (STATE, ACK, "queue"), 11: (STATE, STATE, "number"), 12: (N(256), ACK, "has_fd"), 13: (N(1), ACK, "queue"),
    14: (N(2), ACK, "has_fd"), 15: (b"", N(1), "value"), 16: (N(1), ACK, "value"), 17: (b"", N(2), "value"), 18: (STATE, ACK, "queue"),
    19: (N(6), ACK, "value"), 20: (N(1500), ACK, "value"), 22: (IOTLB, ACK, "iova"), 23: (STATE, ACK, "number"), 24: (CONFIG_, CONFIG_, "bytes"),
    25: (CONFIG_, ACK, "config_flags"), 31: (INFLIGHT, INFLIGHT, "mmap_size"), 32: (INFLIGHT, ACK, "num_queues"), 33: (b"", ACK, None),
    34: (b"", ACK, None), 35: (STATE, ACK, "queue"), 36: (b"", N(32), "value"), 37: (N(0) + REGION_, ACK, "guest_addr"),
    38: (N(0) + REGION_, ACK, "user_addr"), 39: (N(15), ACK, "value"), 40: (b"", N(15), "value"), 41: (UUID, UUID, "uuid"),
    42: (STATE, N(256), "direction"), 43: (b"", N(0), "value"), 44: (b"", SHMEM_, "nregions"), 45: (STATE, STATE, "number"),
}
CHANNEL = {
    1: (IOTLB, ACK, "iotlb_type"), 2: (b"", ACK, None), 3: (AREA, ACK, "area_offset"), 4: (STATE, ACK, "queue"), 5: (STATE, ACK, "queue"),
    6: (UUID, ACK, "uuid"), 7: (UUID, ACK, "uuid"), 8: (UUID, ACK, "uuid"), 9: (MAPPED, ACK, "fd_offset"), 10: (MAPPED, ACK, "shm_offset"),
}

between = Between()
for table, sender, receiver in ((MAIN, between.front, between.back), (CHANNEL, between.back_channel, between.front_channel)):
    for request, (asked, answered, _) in table.items():
        between.passes(sender, receiver, request, VERSION | NEED_REPLY, asked)
        between.passes(receiver, sender, request, VERSION | REPLY, answered)
# A log that is no file.
between.passes(between.front, between.back, 6, VERSION, N(4096))
lines = [line for line in between.end() if line["event"] == "wire"]
for socket_, table in (("main", MAIN), ("channel", CHANNEL)):
    for request, (_, _, key) in table.items():
        both = [line for line in lines if (line["socket"], line["id"]) == (socket_, request)]
        check(len(both) >= 2 and all(line["name"] != "?" and "payload" not in line for line in both), both)
        check(key is None or any(key in line for line in both), key, "is missing in", both)
# The library knows no request that is missing here.
for name in re.findall(r"^ +\d+  (\w+)$", run("help", "requests")[1], re.MULTILINE):
    check(name in {line["name"] for line in lines}, name, "was not tried")

# Random payloads: every line is a line, and the program trusts nothing.
random.seed(7)
between = Between("--summary")
messages = 1
for _ in range(600):
    on_channel = random.random() < 0.3
    table = CHANNEL if on_channel else MAIN
    request = random.choice(list(table))
    ends = (between.back_channel, between.front_channel) if on_channel else (between.front, between.back)
    answers = random.random() < 0.5
    payload = random.choice((table[request][answers], random.randbytes(random.choice((0, 1, 4, 7, 8, 12, 16, 20, 39, 40, 41, 300, 2055, 2056, 2057)))))
    if random.random() < 0.3:
        payload = payload[: random.randrange(len(payload) + 1)]
    if request == RESET_DEVICE or request == SET_BACKEND_REQ_FD:
        continue
    between.passes(*(reversed(ends) if answers else ends), request, VERSION | (REPLY if answers else 0), payload)
    messages += 1
equal(len([line for line in between.end() if line["event"] == "wire"]), messages, "messages")

if TSHARK is None:
    print("note: there is no tshark (Debian's package tshark), so Wireshark's names were not looked at")
    sys.exit(0)
whole = Between()
for table, sender, receiver in ((MAIN, whole.front, whole.back), (CHANNEL, whole.back_channel, whole.front_channel)):
    for request, (asked, answered, _) in table.items():
        whole.passes(sender, receiver, request, VERSION | NEED_REPLY, asked)
        whole.passes(receiver, sender, request, VERSION | REPLY, answered)
count = len([line for line in whole.end() if line["event"] == "wire"])
equal(len(tshark(whole.capture, "-Y", "vhost_user").splitlines()), count, "messages")
nameless = 'vhost_user.name == "?" || vhost_user.payload || vhost_user.malformed || _ws.malformed || data || !vhost_user'
equal(tshark(whole.capture, "-Y", nameless), "", "bytes without a name")
equal(len(tshark(between.capture, "-Y", "vhost_user", "-T", "fields", "-e", "vhost_user.name").splitlines()), messages, "messages")
tshark(between.capture, "-V")
