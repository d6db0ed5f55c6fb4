"""The code of the page on GPUs runs as printed, on a GPU or on the stand-in for CuPy."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "doc" / "gpu.md"


@pytest.mark.slow
def test_code(gpu):
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failed == 0 < tried


def test_files():
    """Links and programs exist."""
    text, root = PAGE.read_text(encoding="utf-8"), PAGE.parents[1]
    for name in re.findall(r"`(benchmarks/[\w.]+)`", text):
        assert (root / name).exists()
    for link in re.findall(r"\]\((\w+\.md)\)", text):
        assert (PAGE.parent / link).exists()
