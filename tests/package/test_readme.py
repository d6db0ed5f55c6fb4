"""The README's code runs as printed, and the examples import without running."""

import doctest
import re
import runpy
from pathlib import Path

import pytest
from pages import leads_somewhere

from sklearn_ntk import activations

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.slow
def test_code_of_the_readme():
    """One session for all blocks, in their order."""
    session, parser, report = {}, doctest.DocTestParser(), []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    for block in BLOCKS.finditer(README):
        line = README.count("\n", 0, block.start(1))
        test = parser.get_doctest(block[1], session, "README", "README.md", line)
        assert test.examples
        runner.run(test, out=report.append, clear_globs=False)
        session = test.globs
    assert runner.tries == README.count("\n>>> ") > 20
    assert not report, "\n" + "".join(report)


def test_the_two_commands_head_the_readme():
    head = README.partition("\n## ")[0]
    assert re.findall(r"^    make (\w+)", head, re.MULTILINE) == ["demo", "test"]


def test_links_of_the_readme():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links and [link for link in links if not leads_somewhere(ROOT / "README.md", link)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_import_without_running(path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.syspath_prepend(path.parent)
    names = runpy.run_path(str(path))
    assert names["__doc__"]
    assert capsys.readouterr().out == ""


def test_activations_page():
    """Its code runs, and its table names a class for each activation of neural-tangents."""
    path = ROOT / "doc" / "activations.md"
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS)
    assert failed == 0 < tried
    rows = re.findall(
        r"^\| (`[A-Z].*?) \| (.*?) \|", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 20
    for theirs, ours in rows:
        names, own = (re.findall(r"`([A-Z]\w+)", cell) for cell in (theirs, ours))
        assert len(names) == len(own) and all(hasattr(activations, name) for name in own)
