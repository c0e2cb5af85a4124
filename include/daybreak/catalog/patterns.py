"""Gitignore-style patterns, as ``dependent_paths`` uses them: exact, case-sensitive, on bytes.

The meaning of one pattern is that of gitignore(5) and git's ``wildmatch.c``: what git would ignore, matches.
Between the patterns of a list the last match wins, also below a folder that an earlier one took or excluded
(git itself cannot re-include there; here ``!`` only ever speaks for its own list). One addition: ``.`` is the
whole repository.

Patterns and paths are compared as the bytes that git stores: ``?`` is one byte, and a path need not be UTF-8.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

_SPECIAL = frozenset(b"*?[\\")
_SLASH = ord("/")

#: A path without anything special in it, nor an empty part.
_FOLDER = re.compile(r"/?(?![!#])[^/*?\[\]\\\s]+(?:/[^/*?\[\]\\\s]+)*/?")

#: The classes of wildmatch.c, in the C locale.
_CLASSES: Mapping[bytes, Callable[[bytes], bool]] = {
    b"alnum": bytes.isalnum, b"alpha": bytes.isalpha, b"digit": bytes.isdigit, b"lower": bytes.islower,
    b"upper": bytes.isupper, b"blank": lambda c: c in b" \t", b"space": lambda c: c in b" \t\n\v\f\r",
    b"cntrl": lambda c: c < b" " or c == b"\x7f", b"graph": lambda c: b"!" <= c <= b"~",
    b"print": lambda c: b" " <= c <= b"~", b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
    b"punct": lambda c: b"!" <= c <= b"~" and not c.isalnum(),
}  # fmt: skip


class _Malformed(Exception):
    """What git reads as a pattern that matches nothing."""


@dataclass(frozen=True)
class Pattern:
    """One line.

    :param text: as it was written.
    :param negated: it began with ``!``.
    :param folders: it ended with ``/``: only folders match, and what is in them.
    :param literal: the one path that it names, when it is anchored and nothing in it is special.
    :param name: the one file or folder name that it means in every folder, likewise.
    :param anchor: the folder in which everything lies that it can match; ``""`` is anywhere.
    :param expression: a regular expression on :func:`subject`; needed without ``literal`` only.
    :param nothing: it matches nothing: a comment, an unclosed bracket.
    """

    text: str
    negated: bool = False
    folders: bool = False
    literal: str | None = None
    name: str | None = None
    anchor: str = ""
    expression: bytes = b""
    nothing: bool = False

    def matches(self, subject: bytes) -> bool:
        """Whether the path or a folder above it is meant, whatever ``negated`` makes of that."""
        if self.nothing:
            return False
        if self.literal is not None and self.literal != ".":
            path = os.fsencode(self.literal)
            return subject.startswith(path + b"/") or (not self.folders and subject == path)
        return self._regex.match(subject) is not None

    @cached_property
    def _regex(self) -> re.Pattern[bytes]:
        return re.compile(self.expression, re.DOTALL)


def subject(path: str, *, folder: bool = False) -> bytes:
    """What :meth:`Pattern.matches` looks at; a folder (a submodule, for a commit) ends with ``/``."""
    return os.fsencode(path) + b"/" if folder else os.fsencode(path)


def plain(text: str) -> str | None:
    """The path that a pattern names with everything in it, if it is of the kind that most are."""
    return text.strip("/") if "/" in text[:-1] and _FOLDER.fullmatch(text) else None


@lru_cache(maxsize=1 << 16)
def parse(text: str) -> Pattern:
    """One pattern; nothing is an error, as in git."""
    if (path := plain(text)) is not None:
        return Pattern(text, folders=text[-1] == "/", literal=path, anchor=path)
    line = _without_trailing_spaces(os.fsencode(text))
    if line.startswith(b"#"):
        return Pattern(text, nothing=True)
    negated = line.startswith(b"!")
    body = line[1:] if negated else line
    if body in (b".", b"./"):
        return Pattern(text, negated, False, literal=".")
    folders = body.endswith(b"/")
    body = body.removesuffix(b"/")
    if not body or body.endswith(b"/"):
        return Pattern(text, negated, nothing=True)
    anchored = b"/" in body
    body = body.removeprefix(b"/")
    exact = _unescaped(body)
    if exact is not None:
        expression, only = re.escape(exact), os.fsdecode(exact)
    else:
        only = None
        try:
            expression = _expression(body)
        except _Malformed:
            return Pattern(text, negated, nothing=True)
    start, end = b"" if anchored else b"(?:.*/)?", b"/" if folders else rb"(?:/|\Z)"
    return Pattern(
        text,
        negated,
        folders,
        literal=only if anchored else None,
        name=None if anchored else only,
        anchor=_anchor(body) if anchored else "",
        expression=start + expression + end,
    )


def last_match(patterns: Sequence[Pattern], subject: bytes) -> Pattern | None:
    """The pattern that decides: the last one that matches; ``None`` when none does."""
    for pattern in reversed(patterns):
        if pattern.matches(subject):
            return pattern
    return None


def literal(path: str) -> str:
    """The pattern that means exactly ``path`` (and what is in it), whatever characters it has."""
    return "/" + re.sub(r"([*?\[\]\\ ])", r"\\\1", path)


def matching(patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that the list ``patterns`` selects."""
    parsed = [parse(pattern) for pattern in patterns]
    found = []
    for path in paths:
        decides = last_match(parsed, subject(path))
        if decides is not None and not decides.negated:
            found.append(path)
    return found


def _without_trailing_spaces(line: bytes) -> bytes:
    end = at = 0
    while at < len(line):
        if line[at] == ord("\\") and at + 1 < len(line):
            at += 1
            end = at + 1
        elif line[at] != ord(" "):
            end = at + 1
        at += 1
    return line[:end]


def _unescaped(body: bytes) -> bytes | None:
    """The text that ``body`` stands for when it has no wildcard."""
    if not _SPECIAL.intersection(body):
        return body
    plain, at = bytearray(), 0
    while at < len(body):
        if body[at] == ord("\\"):
            at += 1
            if at == len(body):
                return None
        elif body[at] in _SPECIAL:
            return None
        plain.append(body[at])
        at += 1
    return bytes(plain)


def _anchor(body: bytes) -> str:
    parts = []
    for part in body.split(b"/")[:-1]:
        if _SPECIAL.intersection(part):
            break
        parts.append(part)
    return os.fsdecode(b"/".join(parts))


def _expression(body: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(body):
        byte = body[at : at + 1]
        if byte == b"*":
            end = at
            while body[end : end + 1] == b"*":
                end += 1
            after = body[end : end + 1]
            whole = end - at > 1 and body[at - 1 : at] in (b"", b"/") and after in (b"", b"/")
            if not whole:
                out += b"[^/]*"
            elif after:
                # `**/` is any number of folders, none included.
                out += b"(?:.*/)?"
                end += 1
            else:
                out += b"[^/].*"
            at = end
        elif byte == b"?":
            out += b"[^/]"
            at += 1
        elif byte == b"[":
            members, at = _bracket(body, at + 1)
            listed = b"".join(b"\\x%02x" % each for each in sorted(members))
            out += b"[" + listed + b"]" if members else b"(?!)"
        elif byte == b"\\":
            if at + 1 == len(body):
                raise _Malformed
            out += re.escape(body[at + 1 : at + 2])
            at += 2
        else:
            out += re.escape(byte)
            at += 1
    return bytes(out)


def _bracket(body: bytes, at: int) -> tuple[set[int], int]:
    """The bytes that a bracket expression means, and where it ends; as ``dowild`` in wildmatch.c reads it."""

    def byte(position: int) -> int:
        if position >= len(body):
            raise _Malformed
        return body[position]

    negated = byte(at) in b"!^"
    at += negated
    members: set[int] = set()
    previous = 0
    first = True
    while first or byte(at) != ord("]"):
        first = False
        current = byte(at)
        if current == ord("\\"):
            at += 1
            current = byte(at)
            members.add(current)
        elif current == ord("-") and previous and body[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            if byte(at) == ord("\\"):
                at += 1
            members.update(range(previous, byte(at) + 1))
            current = 0
        elif current == ord("[") and body[at + 1 : at + 2] == b":":
            close = body.find(b"]", at + 2)
            if close < 0:
                raise _Malformed
            if close == at + 2 or body[close - 1 : close] != b":":
                members.add(current)
            else:
                members |= _class(body[at + 2 : close - 1])
                at, current = close, 0
        else:
            members.add(current)
        previous = current
        at += 1
    if negated:
        members = set(range(1, 256)) - members
    return members - {_SLASH}, at + 1


def _class(name: bytes) -> set[int]:
    if name not in _CLASSES:
        raise _Malformed
    belongs = _CLASSES[name]
    return {each for each in range(1, 128) if belongs(bytes([each]))}
