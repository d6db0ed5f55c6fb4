"""The examples of doc/extending.md stand in real files, and run."""

import re
from pathlib import Path

import pytest
from processes import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "doc" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^<!-- (\S+) -->\n```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
FILES = sorted((ROOT / "examples" / "extending").glob("*.py"))


def test_code_is_that_of_the_files():
    assert TEXT.count("```python") == len(BLOCKS)
    assert {path.relative_to(ROOT).as_posix() for path in FILES} <= {path for path, _ in BLOCKS}
    for path, block in BLOCKS:
        assert f"\n{block}" in (ROOT / path).read_text(encoding="utf-8"), path


def test_links():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert targets and [target for target in targets if not (PAGE.parent / target).exists()] == []


RUN = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"


@pytest.mark.slow
def test_files_run():
    """With what they compare, of which each prints a sentence."""
    printed = run(RUN, *FILES).splitlines()
    assert len(printed) == len(FILES) > 2 and all(line.endswith(".") for line in printed)
