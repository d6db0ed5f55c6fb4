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
    """Assert that a page has links, and that the files and headings are there."""
    page = DOC / f"{name}.md"
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert links and [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page, link):
    """Whether a link of a page is to a file, with a heading if it names one."""
    name, _, heading = link.partition("#")
    path = page.parent / name if name else page
    return path.exists() and (not heading or heading in headings(path))


def headings(path):
    """Anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
