"""The code of pages in doc/ runs as printed, and their links lead somewhere."""

import pytest
from pages import check_code, check_links

SEARCHES = pytest.param("model_selection", marks=pytest.mark.slow)
CODE = ["architectures", "dynamics", "large_n", "plotting", "spectrum", SEARCHES]
LINKS = ["defaults", "dynamics", "large_n", "model_selection", "plotting", "spectrum"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_code(name):
    check_code(name)


@pytest.mark.parametrize("name", LINKS)
def test_links(name):
    check_links(name)
