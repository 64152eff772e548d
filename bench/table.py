"""Rows of the table of figures: how samples become one, and how they are printed."""

import dataclasses
import statistics


@dataclasses.dataclass
class Row:
    figure: str
    unit: str
    ours: float = None
    floor: float = None
    ratio: float = None  # where there is one, the limit is for it
    limit: float = None  # None: the figure is reported only
    spread: list = dataclasses.field(default_factory=list)  # as shares: of ours, of the floor, of the ratio
    note: str = ""  # why there is no figure

    @property
    def limited(self):
        return self.ours if self.ratio is None else self.ratio

    @property
    def holds(self):
        return None if self.limit is None or self.limited is None else self.limited <= self.limit

    def share_of_limit(self):
        """1: the limit is just reached."""
        if self.holds is None:
            return None
        return self.limited / self.limit if self.limit else float(not self.holds) * 2

    def cells(self):
        limit = "" if self.limit is None else f"<= {shown(self.limit)}{'' if self.ratio is None else ' x floor'}"
        verdict = {True: "holds", False: "EXCEEDED", None: self.note or "reported"}[self.holds]
        ratio = "" if self.ratio is None else f"{self.ratio:.3f}"
        return {"ours": shown(self.ours), "floor": shown(self.floor), "ratio": ratio, "limit": limit, "holds": verdict}

    def as_json(self):
        names = ("figure", "unit", "ours", "floor", "ratio", "limit", "holds")
        values = ((name, getattr(self, name)) for name in names)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values}


def shown(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def shares(values):
    return " / ".join(f"{value:.1%}" for value in values)


def print_table(rows):
    heading = {"figure": "figure", "unit": "unit", "ours": "ours", "floor": "floor", "ratio": "ratio", "limit": "limit"}
    heading |= {"holds": "", "spread": "spread"}
    lines = [heading] + [{"figure": row.figure, "unit": row.unit, **row.cells(), "spread": shares(row.spread)} for row in rows]
    width = {name: max(len(line[name]) for line in lines) for name in heading}
    for line in lines:
        left = ("figure", "unit", "limit", "holds", "spread")
        cells = (line[name].ljust(width[name]) if name in left else line[name].rjust(width[name]) for name in heading)
        print("  ".join(cells).rstrip())


def spread(*columns):
    """For each: how far apart its quartiles are, as a share of its median."""
    quartiles = (statistics.quantiles(column, n=4) for column in columns)
    return [(high - low) / middle for low, middle, high in quartiles]


def quieter_half(*columns):
    """Of rounds that measure several things, those that took least in all: what else runs on the machine disturbs all of a round."""
    rounds = sorted(zip(*columns), key=sum)
    return [list(column) for column in zip(*rounds[: (len(rounds) + 1) // 2])]


def compared(figure, limit, ours, floor):
    """A row of times, in nanoseconds, one of each for a round; the ratio is that of rounds."""
    ours, floor = quieter_half(ours, floor)
    ratios = [one / other for one, other in zip(ours, floor)]
    medians = (statistics.median(ours) / 1000, statistics.median(floor) / 1000, statistics.median(ratios))
    return Row(figure, "µs", *medians, limit, spread=spread(ours, floor, ratios))


def single(figure, unit, limit, values):
    """A row of what has no floor."""
    return Row(figure, unit, statistics.median(values), limit=limit, spread=spread(values))
