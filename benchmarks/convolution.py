"""Time and memory of kernels of convolutional networks, next to neural-tangents."""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import image_workers
from gram import PAUSE, SECONDS, Worker, WorkerError, describe, header, table_row
from image_workers import DEPTH
from workers import OURS

PEER = "neural-tangents"
CASES = ("8:pool:128", "16:pool:32", "8:flatten:1024", "16:flatten:512")
QUICK = ("8:pool:16", "8:flatten:128")
TOLERANCE = {"theirs": 1e-8, "single": 1e-4}
COLUMNS = (
    "images",
    "readout",
    "n",
    "sets",
    f"{OURS} ms / entry",
    f"{PEER} ms / entry",
    f"{PEER} / {OURS}",
    "float64 / float32",
    f"{OURS} extra MB",
    f"{PEER} extra MB",
    f"{PEER} block",
)


def start(name, *case):
    return Worker(name, *case, program=image_workers.__file__)


def run_case(size, readout, n, sets, options):
    """Agreement, memory and interleaved times of ours in both precisions and of the peer."""
    case = (n, size, readout, sets)
    names = {"ours": OURS, "single": OURS, "theirs": PEER}
    contenders, result = {}, {"case": case}
    try:
        for key, name in names.items():
            precision = "float32" if key == "single" else "float64"
            contender = start(name, n, size, readout, precision, sets, options.way)
            contenders[key] = contender
            try:
                result[key] = contender.ask("memory") | {"times": []}
                result[key]["block"] = contender.ask("settings")
            except WorkerError as error:
                result[key] = {"failed": str(error)}
        working = [key for key in names if "failed" not in result[key]]
        check(contenders, working, result)
        for repeat in range(options.repeats):
            for key in working[:: (-1) ** repeat]:
                time.sleep(PAUSE)
                number = max(1, int(SECONDS / result[key]["seconds"]))
                result[key]["times"].append(contenders[key].ask("time", number=number))
    finally:
        for contender in contenders.values():
            contender.__exit__()
    return result


def check(contenders, working, result):
    """Stop if values differ, relative to the largest of the kernel."""
    samples = {key: contenders[key].ask("sample") for key in working}
    scale = max(abs(value) for row in samples["ours"] for value in row)
    for key in working[1:]:
        rows = zip(samples["ours"], samples[key], strict=True)
        gap = max(abs(a - b) for row in rows for a, b in zip(*row, strict=True)) / scale
        if not gap < TOLERANCE[key]:
            sys.exit(f"{key} differs from ours by {gap:.1e} at {result['case']}.")
        result[key]["difference"] = gap


# Output -----------------------------------------------------------------------------------------


def cells(result):
    n, size, readout, sets = result["case"]
    ours, single, theirs = (result[key] for key in ("ours", "single", "theirs"))
    milliseconds = [per_entry(part, n) for part in (ours, theirs)]
    ratios = [ratio(theirs, ours), ratio(ours, single)]
    memory = [form(part, lambda r: f"{r['megabytes']:.0f}") for part in (ours, theirs)]
    block = form(theirs, lambda r: r["block"])
    return [f"{size} x {size}", readout, n, sets, *milliseconds, *ratios, *memory, block]


def form(result, function):
    return "n/a" if "failed" in result else function(result)


def per_entry(result, n):
    return form(result, lambda r: f"{1e3 * min(r['times']) / n**2:.3g}")


def ratio(above, below):
    """Median over neighbouring runs."""
    if "failed" in above or "failed" in below:
        return "n/a"
    return f"{statistics.median(map(float.__truediv__, above['times'], below['times'])):.1f}"


def gram_rows(cases):
    """Whole Gram matrices of ours: seconds and memory."""
    for size, readout, n in cases:
        with start(OURS, n, size, readout, "float64", 1) as worker:
            result = worker.ask("memory")
        seconds, megabytes = f"{result['seconds']:.1f}", f"{result['megabytes']:.0f}"
        yield [f"{size} x {size}", readout, n, seconds, megabytes]


def notes(records):
    yield "ms / entry: the fastest repeat over n x n entries; ratios: medians."
    yield "2 sets: between two sets of n images; 1: the Gram matrix of one, which is symmetric."
    yield "extra MB: peak resident memory beyond the result; block: side of the blocks of nt.batch."
    for key, name in (("theirs", PEER), ("single", "float32")):
        gaps = [r[key]["difference"] for r in records if "difference" in r[key]]
        if gaps:
            yield f"{name} differs from {OURS} by at most {max(gaps):.1e} of the largest value."
    for result in records:
        if "failed" in result["theirs"]:
            yield f"{PEER} failed at {result['case']}: {result['theirs']['failed']}"


def case(text):
    size, readout, n = text.split(":")
    return int(size), readout, int(n)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    form = {"type": case, "nargs": "*", "metavar": "SIZE:READOUT:N"}
    parser.add_argument("--cases", **form, default=[*map(case, CASES)], help="for the comparison")
    parser.add_argument("--gram", **form, default=[], help="Gram matrices of ours, not compared")
    parser.add_argument("--sets", type=int, nargs="+", default=[2, 1], choices=[1, 2])
    parser.add_argument(
        "--way", choices=["blocks", "call"], default="blocks",
        help="whether the peer's kernel is compiled in the fastest blocks, or called as it is",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small cases")
    parser.add_argument("--json", type=Path, help="file for all single timings")
    options = parser.parse_args()
    if options.quick:
        options.cases = [*map(case, QUICK)]
    return options


def main():
    options = parse()
    about = {OURS: describe(OURS)}
    try:
        about[PEER] = describe(PEER)
    except WorkerError as error:
        print(f"{PEER} is left out: {error}", file=sys.stderr)
    print(f"{header(about)}\n\nNTK of {DEPTH} convolutions of 3 x 3 and ReLU\n")
    records = []
    if options.cases:
        print(table_row(COLUMNS), table_row(["---:"] * len(COLUMNS)), sep="\n", flush=True)
    for (size, readout, n), sets in itertools.product(options.cases, options.sets):
        records.append(run_case(size, readout, n, sets, options))
        print(table_row(cells(records[-1])), flush=True)
    if options.cases:
        print("", *notes(records), sep="\n- ")
    if options.gram:
        columns = ("images", "readout", "n", "seconds", "extra MB")
        print(f"\n{table_row(columns)}\n{table_row(['---:'] * len(columns))}", flush=True)
    for row in gram_rows(options.gram):
        print(table_row(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"header": header(about), "rows": records}, indent=1))


if __name__ == "__main__":
    main()
