"""What can be said to Bobby and to Gandalf: each verb with what may follow it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from daybreak.settings import WEEKDAYS

#: Instead of resources in `deploy`: all that there are.
EVERYTHING = "everything"

#: The words of `p=`.
PRIORITIES = ("low", "normal", "high")

Place = Literal[
    "none", "optional", "one", "own", "many", "one_or_any", "optional_or_any", "pull", "optional_pull"
]
#: A pull request as people write it; a number alone, as a shell takes `#12` for a comment. Seven digits and
#: more may be the beginning of a commit.
_PULL = re.compile(r"(?:#|pr/)([1-9][0-9]{0,8})|([1-9][0-9]{0,5})", re.IGNORECASE)


@dataclass(frozen=True)
class Verb:
    """One thing that can be said.

    :param place: how many environments follow; ``own`` may be left out by somebody who has just one.
        ``pull``: a pull request follows, which may be left out in a comment on one.
    :param time: which of ``for``, ``until`` and ``tonight`` may follow.
    :param reason: ``words``: it must follow, with or without ``--``.
    :param rest: what else follows the environments.
    :param admin: for admins only.
    :param reads: changes nothing; for everybody, also unlinked.
    """

    name: str
    help: str
    place: Place = "none"
    time: frozenset[str] = frozenset()
    reason: Literal["no", "may", "must", "words"] = "no"
    rest: Literal["", "person", "ref", "confirm", "code", "verb", "landing", "resource"] = ""
    admin: bool = False
    reads: bool = False

    @property
    def usage(self) -> str:
        """``lock <env|any> [for 4h | until 17:40] [-- why]``."""
        place = {
            "none": "", "optional": " [env]", "one": " <env>", "own": " [env]", "many": " [env…]",
            "one_or_any": " <env|any>", "optional_or_any": " [env|any]", "pull": " #12",
            "optional_pull": " [#12]",
        }[self.place]  # fmt: skip
        rest = {
            "": "", "person": " @somebody", "ref": f" <branch|commit|pr/12> [resource… | {EVERYTHING}]",
            "confirm": " [confirm <4 characters>]", "code": " [code]", "verb": " [verb]",
            "landing": f" [commit] [p={'|'.join(PRIORITIES)}] [solo]", "resource": " [resource]",
        }[self.rest]  # fmt: skip
        times = [
            {"tonight": "tonight", "until": "until mon", "for": "for 4h"}[word]
            for word in ("tonight", "for", "until")
            if word in self.time
        ]
        if "for" in self.time:
            times[-1] = "until 17:40"
        time = f" [{' | '.join(times)}]" if times else ""
        reason = {"no": "", "may": " [-- why]", "must": " -- why", "words": " <why>"}[self.reason]
        return f"{self.name}{place}{rest}{time}{reason}"


_FOR = frozenset({"for", "until"})
_NIGHTS = frozenset({"tonight", "until"})


def _table(*verbs: Verb) -> dict[str, Verb]:
    return {verb.name: verb for verb in verbs}


BOBBY = _table(
    Verb("status", "who has what, and until when", "optional", reads=True),
    Verb("mine", "what you have, and what you wait for", reads=True),
    Verb("lock", "take one; `any` takes the one that was idle longest with green e2e",
         "one_or_any", _FOR, "may"),
    Verb("extend", "keep yours longer", "own", _FOR, "may"),
    Verb("release", "give yours back", "many", reason="may"),
    Verb("preserve", "keep the night from touching it", "own", _NIGHTS, "may"),
    Verb("unpreserve", "let the night have it again", "own"),
    Verb("queue", "wait for it; you are told when it is yours", "optional_or_any", reason="may"),
    Verb("leave", "wait no longer", "optional_or_any"),
    Verb("poke", "ask who has it whether they still need it", "one", reason="may"),
    Verb("give", "hand yours to somebody", "one", reason="may", rest="person"),
    Verb("weekend keep", "vote to keep it over the days off", "one"),
    Verb("weekend drop", "take that vote back", "one"),
    Verb("rebuild", "tear it down and build it anew, now", "one", reason="may"),
    Verb("deploy", "build a revision and deploy what it changes, or the named resources, or everything",
         "one", reason="may", rest="ref"),
    Verb("fault", "say that it is broken", "one", reason="must"),
    Verb("unfault", "say that it is fine after all", "one", reason="must", admin=True),
    Verb("lock!", "take it from whoever has it; they are told why", "one", _FOR, "must", admin=True),
    Verb("release!", "give back what somebody else has; they are told why", "one", reason="must",
         admin=True),
    Verb("scorch", "delete what costs money and all data, now", "one", rest="confirm", admin=True),
    Verb("freeze", "kill switch: nothing is deleted any more", reason="must", admin=True),
    Verb("thaw", "take `freeze` back", admin=True),
    Verb("link", "say who you are here: ask for a code where you are known, say it where you are not",
         rest="code"),
    Verb("help", "this list, or one verb", rest="verb", reads=True),
)  # fmt: skip

GANDALF = _table(
    Verb("merge", "land it: at that commit, or as it is now", "pull", rest="landing"),
    Verb("cancel", "take it back", "pull", reason="may"),
    Verb("retry", "the same commit once more, after it was rejected, cancelled or stale", "pull"),
    Verb("try", "deploy and test it, and never land it", "pull", rest="landing"),
    Verb("status", "how far it is; without a number, what the lane does", "optional_pull", reads=True),
    Verb("queue", "who lands next, in order", reads=True),
    Verb("explain", "why it waits, and why a resource is deployed or skipped", "pull", rest="resource",
         reads=True),
    Verb("delegate", "let somebody land it who may not write", "pull", rest="person"),
    Verb("undelegate", "take `delegate` back", "pull", rest="person"),
    Verb("hold", "keep its place and wait", "pull", reason="may"),
    Verb("unhold", "take `hold` back", "pull"),
    Verb("pause", "nothing new enters the lane", reason="words", admin=True),
    Verb("resume", "take `pause` back", admin=True),
    Verb("emergency", "pause the queue and land this alone, next", "pull", reason="words", admin=True),
    Verb("env heal", "prove anew that the merge environment runs main", admin=True),
    Verb("reset", "take it out of the queue, whatever it is doing", "pull", reason="may", admin=True),
    Verb("help", "this list, or one verb", rest="verb", reads=True),
)  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """To whom one speaks, the names that exist, and those of the one who speaks.

    :param own: the environments that the speaker has.
    :param pull: the pull request that is spoken of when none is named: where the comment stands.
    """

    environments: Sequence[str] = ()
    own: Sequence[str] = ()
    verbs: Mapping[str, Verb] = field(default_factory=lambda: BOBBY)
    pull: int | None = None

    @cached_property
    def first_words(self) -> frozenset[str]:
        """The words that a command can begin with."""
        return frozenset(name.split()[0] for name in self.verbs)

    def verb_of(self, words: Sequence[str]) -> Verb | None:
        """The verb that these words begin with."""
        for length in (2, 1):
            found = self.verbs.get(" ".join(words[:length]).lower())
            if found is not None and len(words) >= length:
                return found
        return None


def pull_of(word: str) -> int | None:
    """The number of a pull request: ``#12``, ``pr/12`` or ``12``."""
    found = _PULL.fullmatch(word)
    return int(found[1] or found[2]) if found else None


def following(said: Sequence[str], words: Vocabulary, people: Sequence[str] = ()) -> list[str]:
    """The words that can come next, for a shell's completion.

    :param said: the words before, without the one that is being typed.
    """
    lowered = [word.lower() for word in said]
    verb = words.verb_of(lowered)
    if verb is None:
        pairs = [name.split() for name in words.verbs if lowered and " " in name]
        return [second for first, second in pairs if first == lowered[0]] or (
            [] if lowered else sorted(words.first_words)
        )
    rest = lowered[len(verb.name.split()) :]
    if "--" in rest or (rest and rest[-1] in ("for", "until")):
        times: dict[str, list[str]] = {"for": ["1h", "2h", "4h"], "until": list(WEEKDAYS)}
        return times.get(rest[-1] if rest else "", [])
    found: list[str] = []
    if verb.place not in ("none", "pull", "optional_pull") and (not rest or verb.place == "many"):
        found = [each for each in words.environments if each not in rest]
        if verb.place.endswith("or_any"):
            found.append("any")
    if rest or verb.place in ("none", "own", "optional"):
        found += people if verb.rest == "person" else list(words.verbs) if verb.rest == "verb" else []
        found += sorted(verb.time - set(rest)) if not {"for", "until", "tonight"} & set(rest) else []
        found += ["--"] if verb.reason in ("may", "must") else []
    if rest and verb.rest == "landing":
        found += [f"p={each}" for each in PRIORITIES] if not any(w.startswith("p=") for w in rest) else []
        found += ["solo"] if "solo" not in rest else []
    return found
