"""People's words as GitHub's Markdown that shows just them: no mention, no link, no markup. Pure.

Titles, reasons and the messages of failed tests are other people's words: whoever writes ``@everyone`` in a
test calls nobody, and no ``-->`` or backtick ends what stands around it.
"""

from __future__ import annotations

import re

from daybreak.environment.failures import one_line

#: Ends a mention, a reference, a link or an emoji (`@dana`, `#12`, `:100:`) before it is one; it is not seen.
_NOTHING = "\N{ZERO WIDTH SPACE}"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~$-])")
_REFERENCES = re.compile(
    r"(?<=[@#])(?=\w)|(?<=gh-)(?=\d)|(?=://)|(?<=www)(?=\.)|(?<=:)(?=[a-z0-9_+-]+:)", re.IGNORECASE
)
#: At its beginning a line becomes a list, or the one before it a heading.
_BEGINS = re.compile(r"^(\d+)(?=[.)])|^(?==)")


def words(text: str, limit: int = 300) -> str:
    """One line of somebody's words.

    :param limit: of characters, before anything is escaped; what is longer ends with an ellipsis.
    """
    safe = _REFERENCES.sub(_NOTHING, one_line(text, limit))
    safe = _BEGINS.sub(r"\1\\", _MARKUP.sub(r"\\\1", safe))
    return safe.replace("&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: str, limit: int = 200) -> str:
    """One line as code, in which nothing means anything; ``|`` would end a cell of a table."""
    line = one_line(text, limit).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{line or '-'}`"


def link(label: str, url: str | None) -> str:
    """A link, or its label where there is no page."""
    if not url or not re.fullmatch(r"https?://[^\s<>()\[\]\"]+", url):
        return words(label)
    return f"[{words(label)}]({url})"
