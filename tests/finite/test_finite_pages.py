"""The code of the pages on finite networks runs as printed, and their links lead somewhere."""

import pytest
from pages import check_code, check_links

each_page = pytest.mark.parametrize("name", ["finite", "from_papers"])


@pytest.mark.slow
@each_page
def test_code(name):
    pytest.importorskip("torch")
    check_code(name)


@each_page
def test_links(name):
    check_links(name)
