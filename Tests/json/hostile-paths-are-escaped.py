# SPDX-License-Identifier: BSD-3-Clause
"""A path with quotes, control characters or bytes that are no UTF-8 leaves the status valid JSON, and shows unchanged as far as
possible."""
from _library import *

paths = [b"/a \"b\" \\c\\\\", b"/{\"state\":\"x\"},[", b"/\x01\x02\x1b[2J\r\n\t\x7f", b"/\xff\xfe", b"/\xe2\x82", b"/\xc2", b"/\xc2\x41"]
paths += [b"/\xed\xa0\x80", b"/\xf4\x90\x80\x80", b"/\xc0\x80", "/ä€𝄞\u2028".encode(), bytes(range(1, 100)), bytes(range(128, 160))]
paths += ["/\u0080\u009b1m\u009f\u00a0ÿ".encode(), bytes(range(160, 192)), bytes(range(192, 224)), bytes(range(224, 256))]

for path in paths:
    frontend = frontend_new(path, None, None)
    check(frontend, path)
    seen = status(frontend)["socket_path"]
    try:
        equal(seen, path.decode("utf-8"), path)
    except UnicodeDecodeError:
        # The library may choose how many characters stand for unreadable bytes. Readable ones are there.
        check("\ufffd" in seen, seen)
        readable = path.decode("utf-8", "ignore")
        equal(seen.replace("\ufffd", ""), readable, path)
    frontend_free(frontend)
