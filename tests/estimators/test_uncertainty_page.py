"""The code of doc/uncertainty.md runs as printed, and its links lead somewhere."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "doc" / "uncertainty.md"


def test_code():
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=options)
    assert failed == 0 < tried


def test_links():
    targets = re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert targets and [target for target in targets if not (PAGE.parent / target).exists()] == []
