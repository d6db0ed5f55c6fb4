"""One place for each fact about the package, and no trace of the machine it was written on."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import sklearn_ntk

ROOT = Path(__file__).resolve().parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tracked():
    """Contents of the files that git tracks, by name."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def test_setup_cfg_has_only_what_pyproject_cannot_hold():
    assert {section.partition(":")[0] for section in SETUP.sections()} == {"flake8", "importlinter"}


def test_line_lengths_agree():
    assert SETUP.getint("flake8", "max-line-length") == PYPROJECT["tool"]["ruff"]["line-length"]


def test_files_that_are_not_python_are_packaged(tracked):
    data = PYPROJECT["tool"]["setuptools"]["package-data"]
    patterns = [f"{name.replace('.', '/')}/{p}" for name, some in data.items() for p in some]
    names = [Path(name) for name in tracked if name.startswith("sklearn_ntk/")]
    others = [name for name in names if name.suffix != ".py"]
    assert [name for name in others if not any(map(name.match, patterns))] == []
    assert all(any(name.match(pattern) for name in others) for pattern in patterns)


def test_version_is_canonical():
    number = r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?"  # PEP 440, appendix B
    assert re.fullmatch(number, sklearn_ntk.__version__)


def test_ruff_is_pinned_once(tracked):
    assert sum(text.count(b"ruff" + b"==") for text in tracked.values()) == 1


# The tilde keeps each string out of this file, which is searched too.
HOSTS = ["pypi~.org", "python~hosted.org", "npm~js.org", "deb~ian.org", "anaconda~.org"]
PATHS = ["/wo~rk/", "/tm~p/", "/ro~ot/"]


@pytest.mark.parametrize("hidden", HOSTS + PATHS)
def test_no_registry_host_or_local_path(tracked, hidden):
    forbidden = hidden.replace("~", "").encode()
    assert [name for name, text in tracked.items() if forbidden in text] == []
