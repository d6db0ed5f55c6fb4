"""Checks of pages in doc/: their code runs as printed, and their links lead somewhere."""

import doctest
import re
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "doc"


def check_code(name):
    """Run the examples of a page, of which there must be some."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    path = str(DOC / f"{name}.md")
    failed, tried = doctest.testfile(path, module_relative=False, optionflags=options)
    assert failed == 0 < tried


def check_links(name):
    """Assert that a page has links, and that the files are there."""
    text = (DOC / f"{name}.md").read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    assert targets and [target for target in targets if not (DOC / target).exists()] == []
