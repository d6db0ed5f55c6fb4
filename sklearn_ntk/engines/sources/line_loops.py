"""Beginnings of the compiled loops over lines, see `lines`, and code that reads their inputs."""

from ..packing.tiles import place_of
from .tiles import INPUT

HEAD = """\
def loop(o, tile):
    ops, tables, steps, numbers = tile.ops, tile.tables, tile.steps, tile.numbers
    lines, x, y, j0 = tile.lines, tile.left.records, tile.right.records, tile.j0
    nx, ny = tile.i * tile.left.n, tile.right.n
    k, out, n, t = ops[o, 1], ops[o, 2], ops[o, 3], ops[o, 4]
    first, count, width = steps[k, 0], steps[k, 1], steps[k, 2]
"""

SHORT = """\
    lanes, whole = opaque(LANES), opaque({size})
"""
"""Lengths of short loops, hidden from the compiler, which would unroll and not vectorise them."""

ROWS = """\
    for e in range(n):
        at = {size} * (out + e)
        xb = {left}
        yb = ny * (first + tables[t + n + e]) + j0
"""


def rows(own, gradient):
    """Code that begins the loop over lines ``e``, with the places of their left and right records.

    With ``own`` each row is paired with itself: the left rows, too, are those of the lanes, and
    their records are contiguous along lanes.
    """
    left = "ny * (first + tables[t + e]) + j0" if own else "nx + first + tables[t + e]"
    return ROWS.format(size=line_size(gradient), left=left).splitlines()


def of_left(slot, own, base="xb"):
    """Code that reads entry ``slot`` of the record of the left row, whose first is at ``base``."""
    return f"fetch(y, {base} + ny * count * {slot} + j)" if own else f"x[{base} + count * {slot}]"


def short(gradient):
    """Code that begins a function with loops over lanes."""
    return HEAD.splitlines() + SHORT.format(size=line_size(gradient)).splitlines()


def line_size(gradient):
    """Code of the number of entries of a line."""
    return f"LANES * {6 if gradient else 2}"


def slot_of(index, p):
    """Code of the place of entry ``index`` of a record, or of its rate along direction ``p``.

    A record is stored as its values, then all rates along the first direction, then the second.
    """
    return f"({index} + {p + 1} * width)" if p is not None else f"{index}"


class Reads:
    """Code that reads the inputs of a trace: before the loops, for each line, for each lane.

    ``numbers`` are the names of the numbers of the step ``affine`` (code of its index) that the
    rule reads. The state of letter ``s`` or ``z`` is the sum of the lines that begin at the places
    ``sources[letter]``, or else the line ``at``.
    """

    def __init__(self, names, cls, own, numbers, affine, sources):
        self.own, self.sources = own, sources
        self.before, self.rows, self.lanes = [], [], []
        for name in names:
            if name in numbers:
                self.before.append(f"{name} = numbers[{affine}, {numbers.index(name)}]")
            elif name.startswith("self_"):
                place = place_of(name.removeprefix("self_"), cls)
                self.before.append(f"{name} = numbers[k, {place}]")
            else:
                self._line(name, *INPUT.fullmatch(name).groups())

    def _line(self, name, letter, index, p):
        slot = slot_of(int(index), None if p is None else int(p))
        if letter == "x":
            target = self.lanes if self.own else self.rows
            target.append(f"{name} = {of_left(slot, self.own)}")
        elif letter == "y":
            self.rows.append(f"place_{name} = yb + ny * count * {slot}")
            self.lanes.append(f"{name} = fetch(y, place_{name} + j)")
        elif letter == "d":
            self.lanes.append(f"{name} = load(work, LANES * {index} + j)")
        else:
            place = f"LANES * {index} + j"
            terms = [f"fetch(lines, {begin} + {place})" for begin in self.sources.get(letter, ())]
            self.lanes.append(f"{name} = {' + '.join(terms) or f'load(lines, at + {place})'}")
