# SPDX-License-Identifier: BSD-3-Clause
"""A back-end's request that is no map or unmap is refused and told; the channel lives."""
from _probe import *

CONFIG_CHANGE = 2

with together() as (backend, probe):
    backend.send(CONFIG_CHANGE)
    value = backend.answer(CONFIG_CHANGE)
    check(value < 0, value)
    probe.event("other_request", request=CONFIG_CHANGE, result=value)
    equal(backend.map(memfd(PAGE), 0, PAGE), 0, "answer")
    probe.event("map", result=0)
    probe.quit()
