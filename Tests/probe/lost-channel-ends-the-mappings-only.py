# SPDX-License-Identifier: BSD-3-Clause
"""A back-end that closes its channel, or breaks its protocol, ends the mappings. The connection and the program go on."""
from _probe import *


def close(backend):
    backend.close_channel()


def half_a_header(backend):
    backend.channel.send(HEADER.pack(MAP, VERSION, 40)[:5])
    backend.close_channel()


def unframeable(backend):
    backend.channel.send(HEADER.pack(MAP, 2, 40) + bytes(40))


def endless(backend):
    backend.channel.send(HEADER.pack(MAP, VERSION, 2**32 - 1) + bytes(40))


for lose in (close, half_a_header, unframeable, endless):
    with together() as (backend, probe):
        equal(backend.map(memfd(PAGE), 0, PAGE, rw=True), 0, "answer")
        probe.event("map", result=0)
        lose(backend)
        lost = probe.event("channel_lost")
        check(lost["message"] and lost["result"] < 0, lost)
        has(probe.status(), ready=True, channel=False, mapped_bytes=0, mappings=[])
        is_error(probe.ask("read 0 0 1"), "not mapped")
        has(is_answer(probe.ask("reset")), command="reset")
        probe.event("reset")
        check(RESET_DEVICE in backend.requests, backend.requests)
        probe.quit()
