"""What a Dockerfile takes from its build context, and what a ``.dockerignore`` keeps from it.

Format: https://docs.docker.com/reference/dockerfile/ (continuations, escape directive, heredocs, JSON form).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from daybreak.catalog.discovery.facts import Facts

_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
_MOUNT = re.compile(r"--mount=(\S+)")


def read(content: bytes) -> Facts:
    """Facts of a Dockerfile.

    ``copies``: ``[source, line]`` from the context; ``unsure``: ``[line, text]`` what cannot be resolved;
    ``command``: what the image starts, when it is given as a list.
    """
    facts: Facts = {"copies": [], "unsure": [], "images": [], "command": None}
    globals_: dict[str, str | None] = {}
    variables: dict[str, str | None] = {}
    stages: set[str] = set()
    entrypoint: list[str] = []
    command: list[str] | None = []
    for line, word, rest in instructions(content.decode("utf-8-sig")):
        if word == "ONBUILD":
            word, _, rest = rest.partition(" ")
            word = word.upper()
        if word == "ARG":
            for said in _words(rest):
                name, assigned, value = said.partition("=")
                found = _resolved(value, variables) if assigned else None
                if not stages and not facts["images"]:
                    globals_[name] = found
                variables[name] = found if assigned else globals_.get(name)
        elif word == "ENV":
            variables.update(_environment(rest, variables))
        elif word == "FROM":
            _from(rest, line, globals_, stages, facts)
            variables, entrypoint, command = dict(globals_), [], []
        elif word in {"COPY", "ADD"}:
            _copy(word, rest, line, variables, facts)
        elif word == "RUN":
            _mounts(rest, line, stages, facts)
        elif word == "ENTRYPOINT":
            entrypoint = _json_list(rest) or []
            command = None if not entrypoint else []
        elif word == "CMD":
            command = _json_list(rest)
    if command is not None and (entrypoint or command):
        facts["command"] = [*entrypoint, *command]
    return facts


def ignore(content: bytes) -> Facts:
    """The patterns of a ``.dockerignore``, in order, as gitignore patterns below the context's root.

    They are anchored there and do not know gitignore's trailing slash:
    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    patterns = []
    for line in content.decode("utf-8-sig").splitlines():
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        back = "!" if said.startswith("!") else ""
        pattern = said.removeprefix("!").strip().removeprefix("./").strip("/")
        if pattern and pattern != ".":
            patterns.append(f"{back}/{pattern}")
    return {"patterns": patterns}


READERS: Mapping[str, Callable[[bytes], Facts]] = {"docker": read, "dockerignore": ignore}


def instructions(said: str) -> Iterator[tuple[int, str, str]]:
    """Line, instruction in capitals and the rest of it, continuations joined, heredocs left out."""
    lines = said.splitlines()
    escape, at = "\\", 0
    if lines and (directive := _ESCAPE.match(lines[0])):
        escape = directive.group(1)
    while at < len(lines):
        first, line = at + 1, lines[at].strip()
        at += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith(escape) and at < len(lines):
            following = lines[at].strip()
            at += 1
            # Comments and empty lines within a continuation do not end it.
            if following and not following.startswith("#"):
                line = f"{line[: -len(escape)].rstrip()} {following}"
        word, _, rest = line.partition(" ")
        if word.upper() in {"RUN", "COPY", "ADD"}:
            for _, end in _HEREDOC.findall(rest):
                while at < len(lines) and lines[at].strip() != end:
                    at += 1
                at += 1
        yield first, word.upper(), rest.strip()


def _from(rest: str, line: int, globals_: Mapping[str, str | None], stages: set[str], facts: Facts) -> None:
    words = [word for word in rest.split() if not word.startswith("--")]
    image = _resolved(words[0], globals_) if words else ""
    if image is None:
        facts["unsure"].append([line, f"FROM {words[0]} has no default for its ARG"])
    elif image.lower() not in stages and image != "scratch":
        facts["images"].append([image, line])
    # A FROM without a new image still ends the global ARGs.
    facts["images"] = facts["images"] or [["scratch", line]]
    if len(words) >= 3 and words[1].lower() == "as":
        stages.add(words[2].lower())


def _copy(word: str, rest: str, line: int, variables: Mapping[str, str | None], facts: Facts) -> None:
    flags = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip()
    if any(flag.startswith("--from=") for flag in flags):
        return
    sources = (_json_list(rest) or _words(rest))[:-1]
    for source in sources:
        if source.startswith("<<") or (word == "ADD" and re.match(r"(https?://|git@|[\w+.-]+://)", source)):
            continue
        found = _resolved(source, variables)
        if found is None:
            facts["unsure"].append([line, f"{word} {source} has no default for its variable"])
        else:
            facts["copies"].append([found, line])


def _mounts(rest: str, line: int, stages: set[str], facts: Facts) -> None:
    for said in _MOUNT.findall(rest.partition("&&")[0]):
        options = dict(part.partition("=")[::2] for part in said.split(","))
        if options.get("type", "bind") == "bind" and "from" not in options:
            facts["copies"].append([options.get("source", options.get("src", ".")), line])


def _environment(rest: str, variables: Mapping[str, str | None]) -> dict[str, str | None]:
    words = _words(rest)
    if words and "=" not in words[0]:
        name, _, value = rest.partition(" ")
        return {name: _resolved(value.strip(), variables)}
    return {
        name: _resolved(value, variables)
        for name, assigned, value in (word.partition("=") for word in words)
        if assigned
    }


def _resolved(said: str, variables: Mapping[str, str | None]) -> str | None:
    """``said`` with its variables filled in; ``None`` when one has no value in the file."""
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        name = match.group(1) or match.group(2)
        if name is None:
            return "$"
        found = variables.get(name)
        if match.group(3) == "-":
            return found or match.group(4)
        if match.group(3) == "+":
            return match.group(4) if found else ""
        unknown = unknown or found is None
        return found or ""

    filled = _VARIABLE.sub(value, said)
    return None if unknown else filled


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()


def _json_list(rest: str) -> list[str] | None:
    if not rest.startswith("["):
        return None
    try:
        found = json.loads(rest)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None
