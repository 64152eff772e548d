# SPDX-License-Identifier: BSD-3-Clause
"""The table of scripts/bench as an SVG chart: a bar for each figure, from nothing to its limit and beyond."""

import html

ROW = 26
TOP = 64
BAR_LEFT, BAR_LIMIT, BAR_RIGHT = 520, 800, 1010
COLUMNS = {"ours": 1120, "floor": 1190, "ratio": 1250, "limit": 1360}
WIDTH = 1380
HOLDS, EXCEEDS, REPORTED = "#2e7d4f", "#b3372f", "#7a7f87"


def text(x, y, words, anchor="end", color="#222", weight="normal"):
    words = html.escape(words)
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{color}" font-weight="{weight}">{words}</text>'


def bar(row, y):
    share = row.share_of_limit()
    if share is None:
        return text(BAR_LEFT, y + 13, "reported", "start", REPORTED)
    width = min(share * (BAR_LIMIT - BAR_LEFT), BAR_RIGHT - BAR_LEFT)
    color = HOLDS if row.holds else EXCEEDS
    end = BAR_LEFT + width
    beside_the_line = BAR_LIMIT if BAR_LIMIT - 44 < end < BAR_LIMIT else end
    label = text(beside_the_line + 6, y + 13, f"{share:.0%}", "start", color)
    return f'<rect x="{BAR_LEFT}" y="{y + 2}" width="{max(width, 1):.1f}" height="{ROW - 11}" rx="2" fill="{color}"/>{label}'


def chart(rows, title):
    height = TOP + ROW * len(rows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(16, 26, title, "start", weight="bold"),
        text(BAR_LIMIT, TOP - 12, "limit", "middle", "#555"),
        *(text(x, TOP - 12, name, color="#555") for name, x in COLUMNS.items()),
    ]
    for index, row in enumerate(rows):
        y = TOP + ROW * index
        cells = row.cells()
        parts.append(text(BAR_LEFT - 12, y + 13, f"{row.figure} ({row.unit})"))
        parts.append(bar(row, y))
        parts += [text(x, y + 13, cells[name]) for name, x in COLUMNS.items()]
    parts.append(f'<path d="M{BAR_LIMIT} {TOP - 6}V{height - 16}" stroke="#222" stroke-dasharray="4 3"/>')
    parts.append("</svg>\n")
    return "\n".join(parts)
