# SPDX-License-Identifier: BSD-3-Clause
"""A back-end's request that is no map or unmap is reported. It is refused if nobody serves it, and the channel lives."""
from _probe import *

IOTLB_MSG, CONFIG_CHANGE = 1, 2

with together() as (backend, probe):
    backend.send(IOTLB_MSG)
    value = backend.answer(IOTLB_MSG)
    check(value < 0, value)
    probe.event("other_request", request=IOTLB_MSG, result=value)
    backend.send(CONFIG_CHANGE)
    equal(backend.answer(CONFIG_CHANGE), 0, "answer")
    probe.event("config_change")
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    probe.event("map", result=0)
    probe.quit()
