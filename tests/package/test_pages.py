"""The code of pages in doc/ runs as printed, their links lead somewhere, and examples are named."""

import re

import pytest
from pages import DOC, check_code, check_links

SEARCHES = pytest.param("model_selection", marks=pytest.mark.slow)
CODE = ["architectures", "classification", "dynamics", "kernels", "large_n", "parameters"]
CODE += ["plotting", "spectrum", SEARCHES]
LINKED = sorted(path.stem for path in DOC.glob("*.md") if "](" in path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_code(name):
    check_code(name)


@pytest.mark.parametrize("name", LINKED)
def test_links(name):
    check_links(name)


def test_the_index_names_every_page():
    text = (DOC / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in DOC.glob("*.md")} - {"README.md"}
    assert len(pages) > 20 and sorted(page for page in pages if f"]({page}" not in text) == []


def test_every_example_is_named():
    """In the README or in a page, so that readers find it."""
    root = DOC.parent
    texts = [path.read_text(encoding="utf-8") for path in (root / "README.md", *DOC.glob("*.md"))]
    named = set(re.findall(r"\w+\.py", " ".join(texts)))
    examples = {path.name for path in (root / "examples").glob("*.py")}
    assert examples and sorted(examples - named) == []
