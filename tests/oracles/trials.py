"""Trials of random networks, rows and estimators, each drawn by a seed.

A trial passes if all invariants hold, or if the package refuses it by an error of one sentence.
``python tests/oracles/trials.py --n 10000 --jobs 2`` runs 10 000 trials, with the seeds from 0 on;
``python tests/oracles/trials.py --seed 4711 --n 1`` repeats one.
"""

import argparse
import multiprocessing
import re
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from invariants import EstimatorTrial, KernelTrial, is_refusal

LIMIT, SLOW = 300.0, 60.0
"""Seconds after which a trial counts as hanging, and after which it is printed as slow."""

EXPECTED = (
    "The Hermite series of .* too few",
    "The Gram matrix .* singular",
    ".*onverge",
    "The optimal value found for dimension",
    "Predicted variances smaller than 0",
    "The optimiser ends where the kernel overflows",
)
"""Warnings that are not failures of a trial."""

THEIRS = r"sklearn\.gaussian_process\._gpc"
"""Module of scikit-learn whose exponentials of latent values overflow for large kernels."""


def draw(seed):
    """The trial of a seed."""
    rng = np.random.default_rng(seed)
    return (KernelTrial if rng.random() < 0.85 else EstimatorTrial)(rng)


def attempt(seed):
    """Result of a trial: "passed", "refused" or "failed", and the reason."""
    trial = draw(seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for message in EXPECTED:
                warnings.filterwarnings("ignore", message)
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=THEIRS)
            failed = "; ".join(trial.failures())
    except Exception as error:
        if is_refusal(error):
            return "refused", str(error)
        failed = "".join(traceback.format_exception(error)[-3:])
    return ("failed", failed) if failed else ("passed", "")


def serve(seeds, pipe):
    """Run the trials of the seeds and send their results, with the time in seconds."""
    for seed in seeds:
        start = time.perf_counter()
        pipe.send((seed, *attempt(seed), time.perf_counter() - start))


def supervise(seeds, limit=LIMIT, serve=serve):
    """Yield (seed, result, reason, seconds) of trials; a process that hangs or dies is replaced."""
    context = multiprocessing.get_context("spawn")
    while seeds:
        pipe, end = context.Pipe(duplex=False)
        process = context.Process(target=serve, args=(seeds, end), daemon=True)
        process.start()
        end.close()
        try:
            while seeds and pipe.poll(limit):
                yield pipe.recv()
                seeds = seeds[1:]
            reason = f"no end after {limit:g} seconds"
        except EOFError:
            reason = "the process crashed"
        if seeds:
            yield seeds[0], "failed", reason, np.nan
            seeds = seeds[1:]
        process.kill()
        process.join()


def report(seeds, jobs=1):
    """Run trials in ``jobs`` processes, print those that fail, and return counts of results."""
    ends, reasons = Counter(), Counter()

    def collect(part):
        for seed, end, reason, seconds in supervise(part):
            ends[end] += 1
            if end == "refused":
                reasons[re.sub(r"\S*\d\S*", "#", reason)[:100]] += 1
            if end == "failed" or seconds > SLOW:
                head = f"--- seed {seed} {end} after {seconds:.1f} seconds"
                print(head, reason, draw(seed), sep="\n", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(collect, [seeds[job::jobs] for job in range(jobs)]))
    for reason, count in reasons.most_common():
        print(f"{count:6d} refused: {reason}")
    return ends


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("n", 100), ("seed", 0), ("jobs", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(dict(report(range(given.seed, given.seed + given.n), given.jobs)))


if __name__ == "__main__":
    main()
