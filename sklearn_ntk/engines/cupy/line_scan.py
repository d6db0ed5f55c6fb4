"""The pass over single rows with positions: pairs inside rows on the device, the rest on the CPU.

Records need variances, of which there are few, and maybe series, which SciPy computes. Pairs inside
rows, of which poolings and attention have as many as a pair of rows has, are lines of the device.
"""

import numpy as np

from ..rows import blocks
from ..rows import lines as rows
from .devices import library, refusing
from .lines import LEAST_PAIRS


def scan_blocks(machine, program, X, gradient):
    """Yield `LineRows` of blocks of rows ``X`` (n, positions, channels) in device memory."""
    start, step = 0, machine.count_pairs(len(X))
    while start < max(1, len(X)):
        try:
            with refusing(f"the pass over {step} rows"):
                block = blocks.quiet(scan_rows, machine, X[start : start + step])
        except MemoryError:
            if step <= LEAST_PAIRS:
                raise
            step = max(LEAST_PAIRS, step // 2)
            continue
        if start == 0:
            blocks.check_records(block, len(X))
        yield block
        start += step


def scan_rows(machine, X):
    """`reference.lines.scan_rows` with lines in device memory, where ``X`` is."""
    cupy, program, gradient = library(), machine.program, machine.gradient
    n, variances = len(X), cupy.asnumpy(rows.variances(X))
    scan, lines = rows.Scan(program, variances, gradient), machine.lines(n)
    numbers = cupy.arange(n, dtype=np.int32)

    def take(index):
        """The lines with the numbers ``index``, as an array (parts, len(index), rows)."""
        taken = lines[cupy.asarray(index)][:, :, :n]
        return cupy.asnumpy(taken).transpose(1, 0, 2)

    for op, first, last, last_step in machine.launches.spans:
        pairs = op and rows.pairs_of(op, program.steps[op.step], take, gradient)
        scan.advance(last_step, pairs)
        machine.load(scan, (X.reshape(n, X.shape[1] * X.shape[2]), scan))
        machine.run(first, last, lines, numbers, numbers)
    return scan.finish(take([machine.schedule.result])[:, 0], n)
