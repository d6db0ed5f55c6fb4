"""How long the first call of a process takes, and what later calls compile; see README.md."""

import os
import statistics
import subprocess
import sys
import tempfile

IMPORT = """
import time
import numpy, scipy.linalg, sklearn.base, sklearn.gaussian_process
start = time.perf_counter()
import sklearn_ntk
sklearn_ntk.NTKRegressor
print(time.perf_counter() - start)
"""

FIRST_FIT = """
import time
import numpy as np
X = np.random.default_rng(0).standard_normal((100, 10))
start = time.perf_counter()
from sklearn_ntk import NTKRegressor
imported = time.perf_counter()
NTKRegressor().fit(X, X[:, 0])
end = time.perf_counter()
print(end - start, end - imported)
"""

COMPILED = """
import numpy as np
from numba.core.event import install_recorder
from sklearn_ntk import NTKRegressor
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, lower

X = np.random.default_rng(0).standard_normal((100, 10))
outputs = (*mlp(1), Output(), "relu", Dense())
calls = {
    "first fit": lambda: NTKRegressor().fit(X, X[:, 0]),
    "another depth": lambda: NTKRegressor(depth=5).fit(X, X[:, 0]),
    "another variance": lambda: NTKRegressor(weight_var=1.5, bias_var=0.0).fit(X, X[:, 0]),
    "frozen layers": lambda: NTKRegressor(n_frozen=2).fit(X, X[:, 0]),
    "several outputs": lambda: gram(lower(outputs), X),
    "a residual network": lambda: NTKRegressor(architecture=resmlp()).fit(X, X[:, 0]),
    "another residual network": lambda: NTKRegressor(architecture=resmlp(5)).fit(X, X[:, 0]),
}
for name, call in calls.items():
    with install_recorder("numba:compile") as recorder:
        call()
    started = [event for _, event in recorder.buffer if event.is_start]
    print(f"{name}\\t{len(started)}")
"""


def run(code, cache=None):
    """Output of a fresh process, with its own folder for compiled code if one is given."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    return subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)


def seconds(code, cache=None):
    return [float(number) for number in run(code, cache).split()]


def measure():
    """Import; first fit without, then with a cache, each with and without the import."""
    with tempfile.TemporaryDirectory() as cache:
        return [*seconds(IMPORT), *seconds(FIRST_FIT, cache), *seconds(FIRST_FIT, cache)]


def main(repeats=3):
    names = [
        "import of sklearn_ntk, beyond scikit-learn",
        "import, with scikit-learn, and first fit, empty cache",
        "first fit, empty cache",
        "import, with scikit-learn, and first fit in the next process",
        "first fit in the next process",
    ]
    times = zip(*(measure() for _ in range(repeats)), strict=True)
    print("| what | seconds |\n| --- | ---: |")
    for name, values in zip(names, times, strict=True):
        print(f"| {name} | {statistics.median(values):.2f} |")
    with tempfile.TemporaryDirectory() as cache:
        counts = [line.split("\t") for line in run(COMPILED, cache).splitlines()]
    print("\n| then | functions compiled |\n| --- | ---: |")
    for name, count in counts:
        print(f"| {name} | {count} |")


if __name__ == "__main__":
    main()
