# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's vhost library (testpmd with net_vhost) behind the library's front-end."""

from _interop import F_INDIRECT, VERSION_1, Driver, case, check, equal, need, run, socket_path
from _testpmd import Testpmd

need("dpdk")
RECEIVE, SEND = 0, 1
HEADER = 12
MRG_RXBUF = 1 << 15
FEATURES = VERSION_1 | MRG_RXBUF
sock = socket_path("vhost.sock")
testpmd = Testpmd("testpmd", f"net_vhost0,iface={sock},queues=1")
testpmd.has_said("testpmd> ")
testpmd.say("start")
driver = None


def frame(n):
    return bytes.fromhex("ffffffffffff525400000001 88b5") + n.to_bytes(4, "big") * 20


def frames_come_back(first, count=16):
    chains = [driver.put(RECEIVE, 2048, kick=n == count - 1) for n in range(count)]
    sent = [driver.put(SEND, bytes(HEADER) + frame(first + n), kick=n == count - 1) for n in range(count)]
    for n, chain in enumerate(chains):
        written, data = driver.wait(chain)
        equal((written, data[HEADER:]), (HEADER + len(frame(0)), frame(first + n)), f"frame {first + n}")
    for chain in sent:
        equal(driver.wait(chain)[0], 0)


@case("it is started, and frames come back")
def _():
    global driver
    driver = Driver(sock, 2, "reconnect")
    check(driver.info()["features"] & FEATURES == FEATURES)
    driver.ask("start", FEATURES)
    frames_come_back(0)


@case("a thousand frames")
def _():
    for n in range(0, 1000, 20):
        frames_come_back(n, 20)


@case("after a stop and a start, ten times")
def _():
    for n in range(10):
        driver.ask("stop")
        driver.ask("start", FEATURES)
        frames_come_back(2000 + 100 * n)


@case("frames that wait in the ring are served after a start")
def _():
    driver.ask("stop")
    chain = driver.put(RECEIVE, 2048, kick=False)
    driver.put(SEND, bytes(HEADER) + frame(7), kick=False)
    driver.ask("start", FEATURES)
    equal(driver.wait(chain)[1][HEADER:], frame(7))


@case("its queues are disabled and enabled")
def _():
    for enabled in (0, 1):
        for queue in (RECEIVE, SEND):
            driver.ask("enable", queue, enabled)
    frames_come_back(4000)


@case("after a reset, with indirect descriptors negotiated")
def _():
    driver.ask("reset")
    driver.event("reset")
    driver.ask("start", FEATURES | F_INDIRECT)
    frames_come_back(5000)


@case("killed and started again")
def _():
    testpmd.kill()
    driver.event("disconnect")
    sock.unlink()  # it does not replace a stale socket
    testpmd.start()
    testpmd.say("start")
    driver.event("ready", 2)
    frames_come_back(6000)


run()
