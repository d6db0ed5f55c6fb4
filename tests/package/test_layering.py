"""Imports go down the levels listed in setup.cfg; heavy libraries are imported in one place.

Every line of the contract is a level, and the packages of one line are independent. Inside a
package imports are free.
"""

import ast
import configparser
import re
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from processes import run

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sklearn_ntk"
LOWEST_SKLEARN = "_compat"  # modules below this one are an array library, without scikit-learn
OWNERS = {
    "numba": "engines/numba/",
    "cupy": "engines/cupy/",
    "cupyx": "engines/cupy/",
    "torch": "finite/_torch/",
    "dask": "dask/",
    "distributed": "dask/",
}


def read_levels():
    """Map each module in the contract to its line, counted from the bottom."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["importlinter:contract:levels"]["layers"].split("\n")
    return {name.strip(): -k for k, line in enumerate(lines) if line for name in line.split("|")}


def module_of(file, package):
    """Name the module or subpackage, directly under the package, that a file belongs to."""
    return file.relative_to(package).parts[0].removesuffix(".py")


def imported_names(file, package):
    """Yield the absolute dotted name of everything a file imports, at any depth of its code."""
    parents = [package.name, *file.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            stem = ".".join([*base, node.module] if node.module else base)
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def violations(package, levels):
    """List the forbidden imports of a package; its `__init__` is above all levels."""
    found = []
    for file in sorted(package.rglob("*.py")):
        module, path = module_of(file, package), file.relative_to(package).as_posix()
        level = levels.get(module, inf)
        for name in imported_names(file, package):
            root, target = [*name.split("."), "__init__"][:2]
            if (
                (root == package.name and target != module and levels.get(target, inf) >= level)
                or (root == "sklearn" and level < levels[LOWEST_SKLEARN])
                or not path.startswith(OWNERS.get(root, path))
            ):
                found.append(f"{path} imports {name}")
    return found


def test_imports_go_down():
    assert violations(PACKAGE, read_levels()) == []


def test_contract_names_every_module():
    modules = {module_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")} - {"__init__"}
    assert set(read_levels()) == modules


def test_contributing_has_the_same_floors():
    """Its table has each package once, and each floor is a stretch of lines of the contract."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE)
    floors = [re.findall(r"`(\w+)`", names) for _, names in rows]
    levels = read_levels()
    assert [int(number) for number, _ in rows] == [5, 4, 3, 2, 1, 0]
    assert sorted(name for names in floors for name in names) == sorted(levels)
    ranks = [sorted(levels[name] for name in names) for names in floors]
    assert all(above[0] > below[-1] for above, below in pairwise(ranks))


@pytest.mark.parametrize(
    ("path", "line", "allowed"),
    [
        ("high.py", "from . import low", True),
        ("high.py", "from .mid._one import name", True),
        ("high.py", "import sklearn.base", True),
        ("__init__.py", "from .high import name", True),
        ("mid/_one.py", "from ._two import name", True),
        ("mid/_one.py", "from .. import low", True),
        ("engines/numba/tiles.py", "from numba import njit", True),
        ("low.py", "import toy.high", False),
        ("low.py", "from toy import high", False),
        ("low.py", "from . import high", False),
        ("low.py", "from .high import name", False),
        ("low.py", "def f():\n    from .mid import name", False),
        ("mid/_one.py", "from ..high import name", False),
        ("mid/_one.py", "from ..beside import name", False),
        ("mid/_one.py", "from .. import __version__", False),
        ("high.py", "import toy", False),
        ("high.py", "from .unlisted import name", False),
        ("beside.py", "from sklearn.base import clone", False),
        ("engines/cupy/tiles.py", "import numba", False),
        ("high.py", "import cupyx.scipy", False),
    ],
)
def test_checker(tmp_path, path, line, allowed):
    levels = {"high": 3, "_compat": 3, "mid": 2, "beside": 2, "low": 1, "engines": 0}
    file = tmp_path / "toy" / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert (violations(tmp_path / "toy", levels) == []) is allowed


@pytest.mark.slow
def test_import_is_light():
    """So are the first objects, of which each shows what those before it have loaded."""
    code = "import sys, sklearn_ntk; print(sklearn_ntk.__version__, *sys.modules)"
    for call in ("NTKKernel()", "NTKClassifier()"):
        code += f"; sklearn_ntk.{call}; print(*sys.modules)"
    loaded = [set(line.split()) for line in run(code).splitlines()]
    assert len(loaded) == 3
    for modules in loaded:
        assert {"numba", "cupy", "torch", "dask", "matplotlib"}.intersection(modules) == set()
