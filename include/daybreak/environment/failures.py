"""What people read of tests: their names, and why each failed in one plain line. Pure.

What a test says is somebody else's words, and often a whole page of them: the answer of a service that broke.
The logs have all of it. Here it becomes short and plain; whoever shows it escapes it for where it is shown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

#: Characters of one line.
LINE = 240
#: How many tests a line names.
_NAMED = 5
#: Characters of a page that has no title.
_PAGE = 80
#: Colours of a terminal; pytest's report has their first character spelled out.
_COLOURS = re.compile(r"(?:\x1b|#x1B)\[[0-9;?]*[A-Za-z]")
_PAGE_BEGINS = re.compile(r"<!doctype\s+html|<html(?:[\s>]|$)", re.IGNORECASE)
_PAGE_ENDS = re.compile(r"</html\s*>", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*(?:>|$)")
#: Where a title may stand, and how much of the two ends of a message is read at all.
_HEAD, _READ = 4_000, 20_000
#: As pytest begins what it found to be wrong, below the words that the test itself gave.
_CLAIM = "assert "


def plain(text: str, limit: int = LINE) -> str:
    """Why a test failed, or something like it, as one short line without markup.

    ``AssertionError: web page "500 Internal Server Error" (assert 500 == 200)``: a page is named by its
    title, and pytest's claim stays however long the test's own words are.

    :param limit: of characters; what is longer ends with an ellipsis.
    """
    text = text if len(text) <= 2 * _READ else f"{text[:_READ]}\n{text[-_READ:]}"
    lines = [_printable(line) for line in _COLOURS.sub("", text).splitlines()]
    claims = [at for at, line in enumerate(lines) if line.startswith(_CLAIM)]
    if not claims or claims[-1] == 0:
        return one_line(_without_pages("\n".join(lines)), limit)
    at = claims[-1]
    claim = one_line(_without_pages(lines[at]), limit // 2)
    said = one_line(_without_pages("\n".join(lines[:at])), limit - len(claim) - 3)
    return f"{said} ({claim})" if said else claim


def one_line(text: str, limit: int) -> str:
    """The text without line breaks and what cannot be seen; an ellipsis ends what is longer."""
    line = " ".join(_printable(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def named(tests: Sequence[str], most: int = _NAMED) -> str:
    """``test_a, test_b and 3 more``."""
    more = f" and {len(tests) - most} more" if len(tests) > most else ""
    return ", ".join(tests[:most]) + more


def flaky(tests: Sequence[str]) -> str:
    """Those that failed, and passed when they were tried again; the same words wherever they are told."""
    return f"flaky, passed when tried again: {named(tests)}"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _without_pages(text: str) -> str:
    """Each page of HTML as its title; other angle brackets stay, since a test may be about them."""
    parts, at = [], 0
    while begins := _PAGE_BEGINS.search(text, at):
        ends = _end(text, begins)
        parts += [text[at : begins.start()], _page(text[begins.start() : ends])]
        at = ends
    return "".join([*parts, text[at:]])


def _end(text: str, begins: re.Match[str]) -> int:
    """Behind the page: many do not say where they end, but one that is quoted ends with its quote."""
    if ends := _PAGE_ENDS.search(text, begins.end()):
        return ends.end()
    quote = text[: begins.start()][-1:]
    found = re.search(rf"(?<!\\){quote}", text[begins.end() :]) if quote in ("'", '"') else None
    return begins.end() + found.start() if found else len(text)


def _page(page: str) -> str:
    title = _TITLE.search(page[:_HEAD])
    inside = title[1] if title else _TAG.sub(" ", _UNSEEN.sub(" ", page)).replace("\\n", " ")
    words = one_line(re.sub("[<>]", " ", html.unescape(inside)), _PAGE)
    return f'web page "{words}"' if words else "web page"
