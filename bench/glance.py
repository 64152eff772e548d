# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench found, as a chart for a person: one bar for each figure that has a limit, in four groups, and few words."""

import html

# The beginning of a figure's name, and what a person calls it. What is not here is left out.
GROUPS = {
    "One mapping": {
        "round trip of SHMEM_MAP, 4 KiB": "map 4 KiB, against a bare C loop",
        "round trip of SHMEM_MAP, 2 MiB": "map 2 MiB, against a bare C loop",
        "round trip of SHMEM_UNMAP, 4 KiB": "unmap 4 KiB, against a bare C loop",
        "processor time per pipelined": "a map of 1,000 in a row, against the same",
        "instructions per SHMEM_MAP, through the GSource": "instructions of a map",
        "pair with 60,000 live": "60,000 mappings live, against 64",
        "offset to host pointer, 1 thread and": "an address, while others map",
        "SHMEM_MAP, floor: rust-vmm": "map, against rust-vmm's vhost",
    },
    "Queues": {
        "instructions per pop + push": "instructions of a chain there and back",
        "instructions per further": "instructions of one more descriptor",
        "instructions per chain of a burst": "the same in bursts of 32",
        "pop + push with the log of written pages, 509": "a chain in a migration, 509 ranges, against without",
        "64-byte packet": "64-byte packets, against DPDK's vhost",
        "4 KiB reads, one": "4 KiB reads, one at a time",
        "4 KiB reads, 32": "4 KiB reads, 32 at a time",
    },
    "Many devices": {
        "a turn of a loop": "a loop's turn, for each idle device",
        "wait on a loop half": "a wait beside 500 greedy devices",
        "SHMEM_MAP beside 64 busy devices, p99.9": "a map beside 64 busy devices, 1 in 1,000",
        "longest turn in a reset": "others' wait in a reset of 30,000 mappings",
        "longest turn at the end": "others' wait as a device with 30,000 ends",
        "longest call of the kernel": "others' wait in an unmap of 60,000",
    },
    "What it takes": {
        "resident memory per live": "memory of a mapping",
        "heap of a front-end": "memory of a front-end",
        "descriptors of one with": "descriptors of a front-end with 256 queues",
        "stripped": "the library's file",
        "dlopen": "time until there is a device",
    },
}

ROW, HEAD, TOP = 24, 34, 74
BAR, LIMIT, MOST, WIDTH = 360, 700, 860, 1040
HOLDS, EXCEEDS = "#2e7d4f", "#b3372f"


def text(x, y, words, anchor="start", color="#222", weight="normal"):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{color}" font-weight="{weight}">{html.escape(words)}</text>'


def number(value):
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def bar(row, words, y):
    value = row["ours"] if row["ratio"] is None else row["ratio"]
    share = value / row["limit"] if row["limit"] else 0
    width = max(2, min(share * (LIMIT - BAR), MOST - BAR))
    color = HOLDS if row["holds"] else EXCEEDS
    unit = "x" if row["ratio"] is not None else row["unit"]
    said = f"{number(value)} {unit}".strip()
    parts = [text(BAR - 12, y + 13, words, "end")]
    parts.append(f'<rect x="{BAR}" y="{y + 2}" width="{width:.1f}" height="{ROW - 10}" rx="2" fill="{color}"/>')
    parts.append(text(WIDTH - 16, y + 13, f"{said}  of {number(row['limit'])}", "end", color))
    return parts


def glance(rows, title):
    y, parts = TOP, []
    for group, names in GROUPS.items():
        found = [(row, words) for beginning, words in names.items() for row in rows if row["figure"].startswith(beginning)]
        found = [(row, words) for row, words in found if row["holds"] is not None]
        if not found:
            continue
        parts.append(text(16, y + 18, group, weight="bold"))
        y += HEAD
        for row, words in found:
            parts += bar(row, words, y)
            y += ROW
    height = y + 16
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(16, 28, title, weight="bold"),
        text(16, 48, "Shorter is better. The dashed line is what each figure must not pass.", color="#555"),
        text(LIMIT, TOP - 8, "limit", "middle", "#555"),
    ]
    line = f'<path d="M{LIMIT} {TOP}V{height - 12}" stroke="#222" stroke-dasharray="4 3"/>'
    return "\n".join([*head, *parts, line, "</svg>\n"])
