"""The code of the pages on finite networks runs as printed, and their links lead somewhere."""

import doctest
import re
from pathlib import Path

import pytest

DOC = Path(__file__).resolve().parents[2] / "doc"
each_page = pytest.mark.parametrize("name", ["finite", "from_papers"])


@pytest.mark.slow
@each_page
def test_code(name):
    pytest.importorskip("torch")
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    path = str(DOC / f"{name}.md")
    failed, tried = doctest.testfile(path, module_relative=False, optionflags=options)
    assert failed == 0 < tried


@each_page
def test_links(name):
    text = (DOC / f"{name}.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets and [target for target in targets if not (DOC / target).exists()] == []
