# SPDX-License-Identifier: BSD-3-Clause
"""A call that the library refuses at once is an error answer, too. The program goes on."""
from _probe import *

# The back-end has neither INFLIGHT_SHMFD nor STATUS.
with together() as (_, probe):
    is_error(probe.ask("inflight"), "INFLIGHT_SHMFD")
    is_error(probe.ask("device-status"), "STATUS")
    is_error(probe.ask("device-status 1"), "STATUS")
    is_error(probe.ask("config read 4096 1"), "configuration space")
    is_error(probe.ask("config write 4096 00"), "configuration space")
    probe.quit()

# Without regions there is no channel, so nobody could ask the front-end.
with Device() as device, Probe(device.path) as probe:
    probe.ready()
    device.until("ready")
    for command in ("config-changed", "map 1 0 4K memfd", "unmap 1 0 4K"):
        is_error(device.ask(command))
    device.quit()
