"""Where something stands in a text whose parser does not tell: evidence for TOML and JSON."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"|\'([^\'\n]*)\'')
_KEY = re.compile(r"^[ \t]*[\"']?([\w.@/-]+)[\"']?[ \t]*[=:]", re.MULTILINE)
_HEADER = re.compile(r"^[ \t]*\[\[?[ \t]*([^\]\n]+?)[ \t]*\]", re.MULTILINE)


class Lines:
    """The lines of a manifest's keys, quoted texts and tables; the first line is 1."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, text: str, after: str | int = 1) -> int:
        """The line of ``text`` at or after a table's header (or a line); the best guess without one."""
        start = after if isinstance(after, int) else self.header(after)
        places = [self._line(position) for position in self._positions.get(text, ())]
        # Within the table first: the same requirement often stands in several.
        return min((line for line in places if line >= start), default=places[0] if places else start)

    def header(self, name: str) -> int:
        """The line of a table's header, 1 without it."""
        position = self._headers.get(name)
        return 1 if position is None else self._line(position)

    @cached_property
    def _headers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for match in _HEADER.finditer(self._text):
            name = match.group(1).replace('"', "").replace("'", "").replace(" ", "")
            found.setdefault(name, match.start(1))
        return found

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        """Of most words nobody asks for the line."""
        found: dict[str, list[int]] = {}
        for match in _QUOTED.finditer(self._text):
            said = match.group(1) if match.group(1) is not None else match.group(2)
            found.setdefault(said, []).append(match.start())
        for match in _KEY.finditer(self._text):
            found.setdefault(match.group(1), []).append(match.start(1))
        for match in _HEADER.finditer(self._text):
            name = match.group(1).replace('"', "").replace("'", "").replace(" ", "")
            found.setdefault(name.rpartition(".")[2], []).append(match.start(1))
        return found

    @cached_property
    def _breaks(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self._text)]

    def _line(self, position: int) -> int:
        return bisect_right(self._breaks, position) + 1
