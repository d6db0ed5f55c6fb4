"""Time and memory of one Gram matrix, next to other packages; README.md says how to read it."""

import argparse
import contextlib
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import workers
from workers import OURS, PEERS

INTERPRETERS = dict.fromkeys((OURS, *PEERS), sys.executable)
INTERPRETERS["neural-tangents"] = os.environ.get("NEURAL_TANGENTS_PYTHON")
TOLERANCE = 1e-6
SECONDS = 0.2  # of work in one timing; shorter calls are repeated within it
PAUSE = 0.05  # between timings, for idle BLAS threads of the last one to fall asleep


class WorkerError(Exception):
    """A package is missing or could not compute a case."""


class Worker:
    """A process in which one package computes one case, as its program does."""

    def __init__(self, name, *case, program=workers.__file__):
        if INTERPRETERS[name] is None:
            raise WorkerError("NEURAL_TANGENTS_PYTHON is not set")
        command = [INTERPRETERS[name], program, name, *map(str, case)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.name = name
        try:
            self.process = subprocess.Popen(command, text=True, **pipes)
        except OSError as error:
            raise WorkerError(str(error)) from error

    def ask(self, action, **arguments):
        try:
            print(json.dumps({"action": action} | arguments), file=self.process.stdin, flush=True)
            reply = json.loads(self.process.stdout.readline() or "{}")
        except BrokenPipeError:
            reply = {}
        if "value" not in reply:
            reason = reply.get("error", "died, perhaps for lack of memory")
            raise WorkerError(f"{self.name}: {reason}")
        return reply["value"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()


def difference(ours, theirs):
    """Largest difference of two matrices, relative to the diagonal."""
    pairs = itertools.product(range(len(ours)), repeat=2)
    return max(
        abs(ours[i][j] - theirs[i][j]) / math.sqrt(ours[i][i] * ours[j][j]) for i, j in pairs
    )


def check(ours, worker, name, case):
    biases = name != "scikit-ntk"
    gap = difference(ours.ask("sample", biases=biases), worker.ask("sample", biases=biases))
    if not gap < TOLERANCE:
        sys.exit(f"{name} differs from {OURS} by {gap:.1e} of the diagonal at {case}.")
    return gap


def compare(ours, first, name, case, options):
    """Memory, agreement, and interleaved times of a peer ("theirs") and of "ours"."""
    with Worker(name, *case) as worker:
        result = worker.ask("memory")
        if name != "rbf_kernel":
            result["difference"] = check(ours, worker, name, case)
        repeats = max(1, min(options.repeats, int(options.budget / result["seconds"])))
        contenders = [("ours", ours, first["seconds"]), ("theirs", worker, result["seconds"])]
        result |= {"ours": [], "theirs": []}
        for repeat in range(repeats):
            for key, contender, seconds in contenders[:: (-1) ** repeat]:
                time.sleep(PAUSE)
                number = max(1, int(SECONDS / seconds))
                result[key].append(contender.ask("time", number=number))
    batched = name == "neural-tangents" and case[0] > workers.WHOLE
    result["marks"] = "*" * (repeats < options.repeats) + "b" * batched
    return result


def run_case(case, peers, options):
    with Worker(OURS, *case) as ours:
        first = ours.ask("memory")
        results = {OURS: first}
        for name in peers:
            print(f"{case}: {name}", file=sys.stderr)
            try:
                results[name] = compare(ours, first, name, case, options)
            except WorkerError as error:
                results[name] = {"failed": str(error)}
    return results


# Output -----------------------------------------------------------------------------------------


def describe(name):
    with Worker(name) as worker:
        return worker.ask("describe")


def header(about):
    threads = [f"{count} ({pool})" for pool, count in about[OURS]["threads"].items()]
    versions = [", ".join(map(" ".join, item["versions"].items())) for item in about.values()]
    return (
        f"{cpu_model()}; {available_cpus()} CPUs; threads {', '.join(threads)}; "
        f"Python {platform.python_version()}; {'; '.join(versions)}"
    )


def cpu_model():
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line[:10] == "model name")
    return platform.processor()


def available_cpus():
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()


def table_head():
    times = [f"{name} ms" for name in (OURS, *PEERS)]
    ratios = [f"{OURS} / rbf_kernel", *(f"{name} / {OURS}" for name in PEERS[1:])]
    memory = [f"{name} extra MB" for name in (OURS, *PEERS)]
    columns = ["n", "d", "depth", "kernels", *times, *ratios, *memory]
    return f"{table_row(columns)}\n{table_row(['---:'] * len(columns))}"


def table_row(cells):
    return f"| {' | '.join(map(str, cells))} |"


def cells(case, results):
    ours, rbf = results[OURS], results.get("rbf_kernel")
    times = [format_time(rbf, "ours"), *(format_time(results.get(name)) for name in PEERS)]
    ratios = [format_ratio(rbf, "ours", "theirs")]
    ratios += [format_ratio(results.get(name), "theirs", "ours") for name in PEERS[1:]]
    memory = [
        form(result, lambda r: round(r["megabytes"])) for result in (ours, *map(results.get, PEERS))
    ]
    return [*case, *times, *ratios, *memory]


def form(result, function):
    if result is None:
        return "n/a"
    return "failed" if "failed" in result else function(result)


def format_time(result, key="theirs"):
    return form(result, lambda r: f"{1e3 * min(r[key]):.1f}{r['marks'] * (key == 'theirs')}")


def format_ratio(result, above, below):
    return form(
        result, lambda r: f"{statistics.median(map(float.__truediv__, r[above], r[below])):.2f}"
    )


def notes(records, budget):
    """What the table's marks mean and how well the peers agree."""
    yield (
        "ms: the fastest repeat; ratios: the median over neighbouring runs; "
        "extra MB: peak resident memory beyond the result."
    )
    yield f"*: fewer repeats, for it would take more than {budget:g} s; b: nt.batch in blocks."
    for name in PEERS:
        results = [(case, results[name]) for case, results in records if name in results]
        gaps = [result["difference"] for _, result in results if "difference" in result]
        if gaps:
            yield f"{name} differs from {OURS} by at most {max(gaps):.1e} of the diagonal."
        for case, result in results:
            if "failed" in result:
                yield f"Failed at n, d, depth, kernels = {case}: {result['failed']}"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[1000, 4000, 10000])
    parser.add_argument("--d", type=int, nargs="+", default=[10, 100, 784])
    parser.add_argument("--depth", type=int, nargs="+", default=[1, 3, 20])
    parser.add_argument("--kernels", nargs="+", default=["ntk"], choices=["ntk", "both"])
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS)
    parser.add_argument("--repeats", type=int, default=3, help="timings of each pair")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for a peer's repeats")
    parser.add_argument("--quick", action="store_true", help="n=1000, d=100, depth 1 and 3 only")
    parser.add_argument("--json", type=Path, help="file for all single timings")
    options = parser.parse_args()
    if options.quick:
        options.n, options.d, options.depth = [1000], [100], [1, 3]
    return options


def main():
    options = parse()
    about = {OURS: describe(OURS)}
    for name in PEERS:
        try:
            about[name] = describe(name)
        except WorkerError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    print(f"{header(about)}\n\n{table_head()}", flush=True)
    records = []
    for case in itertools.product(options.n, options.d, options.depth, options.kernels):
        results = run_case(case, [name for name in options.peers if name in about], options)
        records.append((case, results))
        print(table_row(cells(case, results)), flush=True)
    print("", *notes(records, options.budget), sep="\n- ")
    if options.json:
        rows = [
            dict(zip(("n", "d", "depth", "kernels"), case, strict=True)) | results
            for case, results in records
        ]
        options.json.write_text(json.dumps({"header": header(about), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
