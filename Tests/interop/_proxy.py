# SPDX-License-Identifier: BSD-3-Clause
"""vhushmem-probe's proxy between other projects' programs: scripts that run again behind it, and a check of its report at the end."""

import os
import pathlib
import runpy

import _interop
from _interop import Proxy, case, check, equal, until
from _tshark import fields


def has_told_all(proxy):
    """The proxy ends well, knows every message that passed, and tshark names every field of its capture."""
    told = proxy.finish()
    wires = [line for line in told if line["event"] == "wire"]
    check(len(wires) > 20, wires)
    equal([line for line in wires if line["name"] == "?" or "payload" in line], [], "messages that it cannot decode")
    equal([line for line in told if line["event"] == "dropped"], [], "lines that were dropped")
    # Each request that wants an answer has one, except those that were under way when a peer was ended.
    late = [line for line in wires if line["reply"] and "round_trip_us" not in line]
    equal(late, [], "unexpected answers")
    summary = told[-1]
    equal(summary["event"], "summary", "the last line")
    equal(sum(request["count"] + request["replies"] for request in summary["requests"]), len(wires), "messages of the summary")
    equal(len(fields(proxy.capture, "vhost_user", "name")), len(wires), "messages of the capture")
    nameless = 'vhost_user.name == "?" || vhost_user.payload || vhost_user.malformed || _ws.malformed || data || !vhost_user'
    equal(fields(proxy.capture, nameless, "name", "payload"), [], "bytes without a name")
    return told


def again(name):
    """Runs the script `name`.py with a proxy in front of each of its devices."""
    proxies, run = {}, _interop.run

    def front(sock):
        if sock not in proxies:
            # A front-end waits for a device that is about to listen. The proxy listens at once, so wait for the device first.
            until(lambda: os.path.exists(sock), f"{sock} is there")
            proxies[sock] = Proxy(sock, f"proxy{len(proxies)}")
        return proxies[sock].path

    def run_all():
        @case("the proxy has reported every message")
        def _():
            for proxy in proxies.values():
                has_told_all(proxy)

        run()

    _interop.front, _interop.run = front, run_all
    runpy.run_path(str(pathlib.Path(__file__).with_name(f"{name}.py")))
