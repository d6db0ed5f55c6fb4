"""The code of pages in doc/ runs as printed, and their links lead somewhere."""

import pytest
from pages import check_code, check_links

each_page = pytest.mark.parametrize("name", ["dynamics", "large_n", "plotting", "spectrum"])


@each_page
def test_code(name):
    check_code(name)


@each_page
def test_links(name):
    check_links(name)
