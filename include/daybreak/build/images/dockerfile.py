"""A team's own Dockerfile in two parts: the stage of its dependencies, and the service on top of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from daybreak.catalog.discovery.dockerfile import instructions, read

#: The stage of dependencies, where a resource does not name another one (``options["dependencies"]``).
DEPENDENCIES = "dependencies"
#: What Daybreak puts into the build context beside the resource's own files: the first-party wheels, and the
#: same as they are installed, a tree to be copied onto ``/``.
WHEELS, INSTALLED = "wheels", "installed"


@dataclass(frozen=True)
class Stage:
    """One stage of a Dockerfile: lines ``first`` to ``last`` (counted from 1, both included)."""

    name: str
    image: str
    first: int
    last: int


def stages(text: str) -> list[Stage]:
    """The stages in order; names in lower case, as Docker compares them."""
    found = []
    for line, word, rest in instructions(text):
        if word == "FROM":
            words = [each for each in rest.split() if not each.startswith("--")]
            name = words[2].lower() if len(words) >= 3 and words[1].lower() == "as" else ""
            found.append((name, words[0] if words else "", line))
    ends = [first - 1 for _, _, first in found[1:]] + [len(text.splitlines())]
    return [Stage(name, image, first, end) for (name, image, first), end in zip(found, ends, strict=True)]


@dataclass(frozen=True)
class Split:
    """A Dockerfile, cut after its stage of dependencies.

    :param base: the text up to the end of that stage.
    :param images: what its stages start from that is no stage.
    """

    text: str
    target: str
    base: str
    images: tuple[str, ...]

    @classmethod
    def of(cls, text: str, target: str = DEPENDENCIES) -> Split | None:
        """``None`` when there is no stage of that name, or nothing follows it."""
        found = stages(text)
        at = next((number for number, stage in enumerate(found) if stage.name == target.lower()), None)
        if at is None or at == len(found) - 1:
            return None
        base = "\n".join(text.splitlines()[: found[at].last]) + "\n"
        return cls(text, found[at].name, base, started_from(base))

    def service(self, base: str) -> str:
        """The Dockerfile of the service: its stage of dependencies is the image ``base``."""
        lines, found = self.text.splitlines(), stages(self.text)
        at = next(number for number, stage in enumerate(found) if stage.name == self.target)
        after = self.after
        before = lines[: found[0].first - 1]
        # The classic builder makes every stage; those that only the dependencies needed are left out.
        names = [re.escape(stage.name) for stage in found[:at] if stage.name] + [r"\d+"]
        if re.search(rf"(?im)(--from=|from=|^\s*FROM\s+(--\S+\s+)*)({'|'.join(names)})\b", after):
            before = lines[: found[at].first - 1]
        return "\n".join([*before, f"FROM {base} AS {self.target}", after])

    @property
    def after(self) -> str:
        """What follows the stage of dependencies."""
        last = next(stage.last for stage in stages(self.text) if stage.name == self.target)
        return "\n".join(self.text.splitlines()[last:]) + "\n"

    @property
    def copies_only(self) -> bool:
        """Whether the service is its dependencies and files of the build context: nothing installs more."""
        rest = [(word, said) for _, word, said in instructions(self.after)]
        return [stage.image.lower() for stage in stages(self.after)] == [self.target] and not any(
            word in {"RUN", "ONBUILD"} or "--from=" in said for word, said in rest
        )

    def takes(self, folder: str) -> bool:
        """Whether what follows copies the folder ``folder`` of the build context."""
        return folder in sources(self.after)

    def normal(self, content: Callable[[str], str]) -> list[str]:
        """What the dependencies are made by, the same for the same result.

        :param content: what a source of the build context stands for, by its path.
        """
        said = []
        for _, word, rest in instructions(self.base):
            if word in {"COPY", "ADD"} and "--from=" not in rest:
                words = rest.split()
                flags = [each for each in words if each.startswith("--")]
                paths = [each for each in words if not each.startswith("--")]
                rest = " ".join([*flags, *(content(each) for each in paths[:-1]), *paths[-1:]])
            said.append(f"{word} {rest}")
        return said


def started_from(text: str) -> tuple[str, ...]:
    """The images that stages start from, and that are no stages; without those that only an ARG names."""
    return tuple(str(image) for image, _ in read(text.encode())["images"] if image != "scratch")


def sources(text: str) -> set[str]:
    """The first parts of all paths that a Dockerfile takes from its build context."""
    return {path.partition("/")[0] for path in _sources(text)}


def copied(text: str) -> list[str]:
    """What a Dockerfile takes from its build context, without what Daybreak puts there."""
    return [path for path in _sources(text) if path.partition("/")[0] not in {WHEELS, INSTALLED}]


def _sources(text: str) -> list[str]:
    return [str(path).removeprefix("./").strip("/") for path, _ in read(text.encode())["copies"]]
