"""Globs of workspaces and Dockerfiles: ``*`` within a name, ``**`` across, ``?``, ``{a,b}``, ``[a-z]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=512)
def compiled(glob: str) -> re.Pattern[str]:
    """A pattern that matches whole paths."""
    said, at, depth = glob.strip("/").removeprefix("./"), 0, 0
    out = []
    while at < len(said):
        rest = said[at:]
        if rest.startswith("**/"):
            out.append("(?:[^/]+/)*")
            at += 3
        elif rest.startswith("**"):
            out.append(".*")
            at += 2
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inner = rest[1:end].replace("\\", r"\\")
            out.append(f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]")
            at += end + 1
        else:
            letter = rest[0]
            simple = {"*": "[^/]*", "?": "[^/]"}
            if letter == "{" and "}" in rest:
                depth, piece = depth + 1, "(?:"
            elif letter == "}" and depth:
                depth, piece = depth - 1, ")"
            elif letter == "," and depth:
                piece = "|"
            else:
                piece = simple.get(letter, re.escape(letter))
            out.append(piece)
            at += 1
    try:
        return re.compile("".join(out))
    except re.error:
        return re.compile(re.escape(said))


def selects(path: str, globs: Sequence[str]) -> bool:
    """Whether ``path`` is selected: the last glob that matches decides, ``!`` takes away."""
    chosen = False
    for glob in globs:
        if compiled(glob.removeprefix("!")).fullmatch(path):
            chosen = not glob.startswith("!")
    return chosen
