# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's virtio-user (testpmd with net_virtio_user) in front of the library's vhost-user-net: either side connects to the other."""

from _interop import PROGRAMS, Process, case, check, device, need, run, socket_path, until
from _testpmd import Testpmd

need("dpdk")
sock, server_sock = socket_path("net.sock"), socket_path("server.sock")
ours = None
testpmd = None


def packets_go_round(count=2000):
    begin = testpmd.received()
    until(lambda: testpmd.received() >= begin + count, f"{count} packets go round")


@case("it connects, and packets go round")
def _():
    global ours, testpmd
    ours = device("net", sock)
    testpmd = Testpmd("testpmd", f"net_virtio_user0,path={sock},queues=1")
    testpmd.has_said("testpmd> ")
    ours.has_said("queue 1 started")
    testpmd.say("start tx_first")
    packets_go_round()


@case("its port is stopped and started")
def _():
    for _ in range(3):
        for command in ("stop", "port stop 0", "port start 0", "start tx_first"):
            testpmd.say(command)
        packets_go_round()


@case("it ends, and the back-end waits for the next")
def _():
    testpmd.say("quit")
    testpmd.process.wait()
    ours.has_said("device  disconnected")
    check(ours.is_alive)


@case("as a server it takes our back-end, and packets go round")
def _():
    global ours, testpmd
    testpmd = Testpmd("server", f"net_virtio_user0,path={server_sock},queues=1,server=1")
    testpmd.listens(server_sock)
    ours = Process("client", PROGRAMS / "device-net-c", server_sock, "client")
    ours.has_said("queue 1 started")
    testpmd.has_said("testpmd> ")
    testpmd.say("start tx_first")
    packets_go_round()


@case("the next back-end follows a killed one")
def _():
    started = ours.text().count("queue 1 started")
    ours.kill()
    ours.start()
    ours.has_said("queue 1 started", started + 1)
    testpmd.say("stop")
    testpmd.say("start tx_first")
    packets_go_round()


run()
