"""Why a test failed, in one plain line: what people need of a message, however it was written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.environment.failures import LINE, flaky, named, one_line, plain

#: As Flask answers when a view raises; it says nowhere where it ends.
FLASK = (
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n"
    "<h1>Internal Server Error</h1>\n"
    "<p>The server encountered an internal error &amp; was unable to complete your request.</p>\n"
)
#: As Python's own server does.
PYTHON = (
    '<!DOCTYPE HTML>\n<html lang="en">\n  <head>\n    <meta charset="utf-8">\n'
    "    <style>\n        :root { color-scheme: light dark; }\n    </style>\n"
    "    <title>Error response</title>\n  </head>\n  <body><p>Error code: 500</p></body>\n</html>\n"
)
BARE = "<html><head><style>p { color: red }</style><!-- @team --></head><body>fleet &amp; trips</body></html>"
WHERE = "\n +  where 500 = <Response [500 INTERNAL SERVER ERROR]>.status_code"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            f"AssertionError: {FLASK}\nassert 500 == 200{WHERE}",
            'AssertionError: web page "500 Internal Server Error" (assert 500 == 200)',
        ),
        (
            f"AssertionError: {PYTHON}\nassert 500 == 200{WHERE}",
            'AssertionError: web page "Error response" (assert 500 == 200)',
        ),
        (f"assert 500 == 200{WHERE}", f"assert 500 == 200{WHERE.replace(chr(10) + ' +  ', ' + ')}"),
        (f"assert {FLASK!r} == 'ok'", "assert 'web page \"500 Internal Server Error\"' == 'ok'"),
        (
            f"RuntimeError: fleet says {BARE}, twice",
            'RuntimeError: fleet says web page "fleet & trips", twice',
        ),
        ("AssertionError: no vehicles\nassert 0 > 0", "AssertionError: no vehicles (assert 0 > 0)"),
        ("httpx.ConnectError: [Errno 111]\n  refused", "httpx.ConnectError: [Errno 111] refused"),
        ("\x1b[31mred\x1b[0m and #x1B[1mbold", "red and bold"),
        ("assert '<b>x</b>' == '<i>x</i>'", "assert '<b>x</b>' == '<i>x</i>'"),
        ("a\u202eb\x00c\td", "a b c d"),
        ("", ""),
    ],
)
def test_a_message_becomes_a_line_with_the_title_of_a_page_and_pytests_claim(message: str, said: str) -> None:
    assert plain(message) == said


def test_the_claim_stays_however_much_the_test_says_before_it() -> None:
    said = plain(f"AssertionError: {'word ' * 20_000}\nassert 1 == 2\n  - long\n  + diff")
    assert said.startswith("AssertionError: word word")
    assert said.endswith("… (assert 1 == 2)")
    assert len(said) == LINE


words = st.text() | st.sampled_from(
    [FLASK, PYTHON, BARE, "\nassert 1 == 2", "<html", "</html>", "'", "<title>"]
)


@settings(deadline=None)
@given(st.lists(words).map("".join), st.integers(20, 400))
def test_whatever_a_message_is_it_becomes_one_line_that_fits_and_stays_as_it_is(
    text: str, limit: int
) -> None:
    said = plain(text, limit)
    assert len(said) <= limit
    assert said == one_line(said, limit)
    assert plain(said, limit) == said
    assert "<!doctype html" not in said


def test_tests_are_named_up_to_five_and_the_others_counted() -> None:
    tests = [f"test_{number}" for number in range(7)]
    assert named(tests[:2]) == "test_0, test_1"
    assert named(tests) == "test_0, test_1, test_2, test_3, test_4 and 2 more"
    assert flaky(tests[:1]) == "flaky, passed when tried again: test_0"
