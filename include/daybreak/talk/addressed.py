"""The command in a comment on a pull request. Pure.

Whoever begins a comment with ``@gandalf`` or ``/gandalf`` speaks to Gandalf; the rest of that line is the
command, and what follows below it is for people. A quotation, code, or a name in the middle of a sentence is
no command: people talk about him, too.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[@/]gandalf[:,]?(?=\s|$)", re.IGNORECASE)
#: Markdown's: four spaces or a tab make code, three backticks or tildes begin and end a block of it.
_INDENTED = re.compile(r" {4}| {0,3}\t")
_FENCE = re.compile(r" {0,3}(```|~~~)")


def addressed(body: str) -> str | None:
    """What is said to Gandalf, without his name; ``None``: nothing.

    A second line that speaks to him comes with the first, so that the grammar refuses both.
    """
    said: list[str] = []
    fence = None
    for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line.strip():
            continue
        mark = _FENCE.match(line)
        if mark and fence in (None, mark[1]):
            fence = mark[1] if fence is None else None
        found = None if fence or mark or _INDENTED.match(line) else _ADDRESS.match(line.strip())
        if found:
            said.append(line.strip()[found.end() :].strip())
        elif not said:
            return None
    return "\n".join(said) if said else None
