"""Gradients of kernels with respect to rows with positions, backwards through their schedule."""

from collections import deque

import numpy as np

from .._runtime.blas import single_threaded_blas
from .._runtime.progress import Progress
from .._runtime.threads import run
from ..engines._work import engine_for
from ..engines.reference import adjoint
from ..engines.rows import blocks
from ..engines.rows.adjoint import LocalScan, scale_of
from ..engines.rows.lines import variances
from ..engines.rows.tiles import without_tiny
from ..engines.schedule.links import links_of
from ..engines.schedule.writer import schedule

NUMBERS = 2**24
"""Numbers that are held at a time, about, for the pairs of rows that are computed at once."""

REMEDY = "take fewer rows, or a network with fewer positions"

PORTION = 1024
"""Least number of lines of a portion of the schedule: arrays of a formula stay in cache."""

N_PORTIONS = 32
"""About the most portions of all pairs of positions: of large images, few are computed at once."""

BARS = {"nngp": (-0.5, 0.0), "ntk": (0.0, 1.0)}
"""Derivatives of kernels by the squared distance and by the NTK of the result."""


class PixelGradients:
    """Gradients of kernels between rows with positions, checked pairs (rows, norms) of both sides.

    ``plans`` are the schedules for pairs and for single rows, ``links`` those of both, and
    ``numbers`` how many numbers they hold for a pair, or for a row and a result.
    """

    def __init__(self, program, rows, get, verbose=0):
        self.program, self.get, (n, m) = program, get, (len(X) for X, _ in rows)
        self.progress = Progress(n * m, f"Gradients of {n} x {m} rows", REMEDY, verbose)
        rows = [(_settled(Z, program.shape), norms) for Z, norms in rows]
        self.X, self.Y = (blocks.check_shape(Z, program.shape) for Z, _ in rows)
        engine = engine_for([self.X])
        self.n_threads = engine.count_threads()
        scanned = blocks.scan(program, rows, scan_blocks=engine.scan_blocks)
        self.left, self.right = (
            blocks.take_rows(scanned, part) for part in (slice(n), slice(n, None))
        )
        self.scales = list(map(scale_of, program.steps, self.right.records))
        portion = max(PORTION, self.X.shape[1] ** 2 // N_PORTIONS)
        self.plans = [schedule(program, portion, diagonal) for diagonal in (False, True)]
        self.links = [list(map(links_of, plan.operations)) for plan in self.plans]
        self.numbers = [adjoint.count_numbers(program, plan) for plan in self.plans]

    def sums(self, coef):
        """Gradients (n, k, d) of sums with coefficients (m, k) over the rows on the right."""
        most = max(self.numbers[0], self.numbers[1] * coef.shape[1])
        with single_threaded_blas:
            return np.concatenate([self._block(rows, coef) for rows in _slices(len(self.X), most)])

    def _block(self, rows, coef):
        """`sums` for some of the rows on the left."""
        X, left = self.X[rows], blocks.take_rows(self.left, rows)
        with np.errstate(all="ignore"):  # `blocks.scan` has checked that kernels are finite
            scan = LocalScan(self.program, variances(X), self.scales)
            own = adjoint.OwnTape(self.program, self.plans[1], self.links[1], X, scan)
            found = self._columns(X, left, scan, coef)
            alone = self._alone(own, coef.sum(axis=0))
        return np.moveaxis(found + alone, (0, 1), (2, 3)).reshape(len(X), coef.shape[1], -1)

    def _alone(self, own, totals):
        """Gradients (positions, channels, n, k) by the rows on the left alone.

        ``totals`` (k,) are the sums of the coefficients, `LocalScan.bars` those of the pairs.
        """
        bars, n = own.scan.bars, own.scan.variances[0].shape[1]
        by_variance = np.tile((self.get == "nngp") * 0.5 * totals, (n, 1))
        parts = [
            own.backward(by_variance[:, part], {name: bar[..., part] for name, bar in bars.items()})
            for part in _slices(len(totals), n * self.numbers[1])
        ]
        return np.concatenate(parts, axis=-1)

    def _columns(self, X, left, scan, coef):
        """Gradients (positions, channels, n, k) by the pairs with all rows on the right.

        Derivatives by the variables of the rows on the left are added to their ``scan``.
        """
        n_threads = self.n_threads
        columns = _slices(len(self.Y), len(X) * self.numbers[0] * n_threads, n_threads)
        branches, found = [scan.branch() for _ in columns], [None] * len(columns)

        def compute(part):
            found[part] = self._pairs(X, left, branches[part], columns[part], coef)
            self.progress.add(len(X) * len(self.Y[columns[part]]))

        run(compute, deque(range(len(columns))), n_threads)
        for branch in branches:
            for name, bar in branch.bars.items():
                scan.add(*name, bar)
        return sum(found)

    def _pairs(self, X, left, scan, columns, coef):
        """`_columns` for some of the rows on the right."""
        Y, right = self.Y[columns], blocks.take_rows(self.right, columns)
        sides, plan, links = adjoint.Sides(X, Y, left, right, False), self.plans[0], self.links[0]
        weigh, shape = lambda values: values @ coef[columns], (len(X), len(Y))
        tape = adjoint.Tape(self.program, plan, shape, sides, [scan], links, weigh)
        for op in plan.operations:
            tape.forward(op)
        tape.start(BARS[self.get], len(Y))
        for o in reversed(range(len(plan.operations))):
            tape.undo(o)
        return tape.found


def _settled(X, shape):
    """Rows (n, d) whose positions are zeros if they are tiny: derivatives by them overflow."""
    return without_tiny(blocks.check_shape(X, shape))[0].reshape(X.shape)


def _slices(n, numbers, n_parts=1):
    """Slices of n rows that hold so many numbers each, ``n_parts`` or more if there are so many."""
    step = max(1, min(NUMBERS // numbers, -(-n // n_parts)))
    return [slice(i, i + step) for i in range(0, n, step)]
