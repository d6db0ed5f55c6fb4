"""Tests stand where what they test stands, and share by way of ``tests/oracles``."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
OWN = {"package", "oracles", "data"}
"""What concerns the package as a whole, what tests share, and stored values."""


def folders_of(place):
    """Names of the folders in a folder, but for hidden ones and caches."""
    return {path.name for path in place.iterdir() if path.is_dir() and path.name[0] not in "._"}


def test_folders_mirror_those_of_the_package():
    modules = [path.parent.name for path in (ROOT / "sklearn_ntk").glob("*/__init__.py")]
    assert folders_of(TESTS) - OWN == {name.removeprefix("_") for name in modules}


def test_every_file_has_a_place():
    """Beside the folders stands no file but ``conftest.py``; in them, but for oracles, tests."""
    assert [path.name for path in TESTS.glob("*.py")] == ["conftest.py"]
    found = {path for path in TESTS.glob("*/*.py") if not path.match("test_*.py")}
    assert {path.parent.name for path in found} == {"oracles"}


def test_tests_do_not_import_each_other():
    """Names are unique too, since a module of tests has no package."""
    files = [p for p in TESTS.rglob("*.py") if not {"data", "cupy_standin"} & set(p.parts)]
    assert len({path.stem for path in files}) == len(files)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from\s+test_|import\s(.*[\s,])?test_)", text, re.MULTILINE), (
            path.name
        )


@pytest.mark.parametrize("path", sorted((TESTS / "oracles").glob("*.py")), ids=lambda p: p.stem)
def test_oracles_say_what_they_are(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
