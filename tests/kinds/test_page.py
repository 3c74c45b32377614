"""The page of kinds in the documentation says what the tests hold."""

from kinds.page import PAGE, page


def test_the_page_is_that_of_the_tests() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: PYTHONPATH=tests:. python -m kinds.page"
