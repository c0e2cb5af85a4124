"""People's words as GitHub's Markdown that shows just them: no mention, no link, no markup. Pure.

Titles, reasons and the messages of failed tests are other people's words: whoever writes ``@everyone`` in a
test calls nobody, and no ``-->`` or backtick ends what stands around it.
"""

from __future__ import annotations

import re

#: Ends a mention or a reference (`@dana`, `#12`) before it is one; it is not seen.
_NOTHING = "\N{ZERO WIDTH SPACE}"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~$-])")
_REFERENCES = re.compile(r"(?<=[@#])(?=\w)|(?<=\b[Gg][Hh]-)(?=\d)|(?<=://)|(?<=\bwww\.)")


def words(text: str, limit: int = 300) -> str:
    """One line of somebody's words.

    :param limit: of characters, before anything is escaped; what is longer ends with an ellipsis.
    """
    line = _fitted(text, limit)
    safe = _REFERENCES.sub(_NOTHING, line)
    return _MARKUP.sub(r"\\\1", safe).replace("&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: str, limit: int = 200) -> str:
    """One line as code, in which nothing means anything; ``|`` would end a cell of a table."""
    line = _fitted(text, limit).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{line or '-'}`"


def link(label: str, url: str | None) -> str:
    """A link, or its label where there is no page."""
    if not url or not re.fullmatch(r"https?://[^\s<>()\[\]\"]+", url):
        return words(label)
    return f"[{words(label)}]({url})"


def _fitted(text: str, limit: int) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
