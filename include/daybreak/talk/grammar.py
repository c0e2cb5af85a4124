"""One grammar for Slack, pull requests, the command line and the board: words in, a `Command` out. Pure.

    <verb> [env…] [for <duration> | until <when>] [-- reason]          (Bobby)
    <verb> [#12] [commit] [p=low|normal|high] [solo] [-- reason]       (Gandalf)

Names match exactly; a typo gets a suggestion, never a guess. One message is one command: what looks like two
is refused as a whole. Every refusal shows the nearest command that would be right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from daybreak.errors import UsageError
from daybreak.talk.nearest import repairs
from daybreak.talk.verbs import PRIORITIES, Verb, Vocabulary, pull_of
from daybreak.talk.when import TONIGHT, When, parse_duration, parse_when, say_duration

#: Characters of a whole message, and of a reason: what does not fit was not meant as a command.
LONGEST, LONGEST_REASON = 1000, 300


@dataclass(frozen=True)
class Command:
    """What was said, understood.

    :param person: whom it names: ``<@U1>``'s id with an ``@`` in front (``@U1``), or a name.
    :param rest: revision and resources of `deploy`, the characters of `scorch`, a code, a verb, a resource.
    :param pull: the number of a pull request, also when the place of the message said it.
    :param commit: the commit that is approved, or its beginning; empty: the one that is there.
    :param priority: one of `PRIORITIES`.
    """

    verb: Verb
    environments: tuple[str, ...] = ()
    duration: timedelta | None = None
    until: When | None = None
    reason: str = ""
    person: str = ""
    rest: tuple[str, ...] = ()
    pull: int | None = None
    commit: str = ""
    priority: str = "normal"
    solo: bool = False

    def __str__(self) -> str:
        """The command as one would type it; parsing that gives the same command."""
        words = [self.verb.name, *self.environments]
        if self.pull is not None:
            words.append(f"#{self.pull}")
        if self.commit:
            words.append(self.commit)
        if self.priority != "normal":
            words.append(f"p={self.priority}")
        if self.solo:
            words.append("solo")
        if self.person:
            words.append(f"<{self.person}>" if self.person.startswith("@") else f"@{self.person}")
        words += ["confirm", *self.rest] if self.verb.rest == "confirm" and self.rest else self.rest
        if self.duration is not None:
            words += ["for", say_duration(self.duration)]
        if self.until is not None:
            words += ["tonight"] if self.until == TONIGHT and "tonight" in self.verb.time else [
                "until", str(self.until)
            ]  # fmt: skip
        if self.reason:
            words += [self.reason] if self.verb.reason == "words" else ["--", self.reason]
        return " ".join(words)


class Misunderstood(UsageError):
    """No command; ``nearest`` is the one that comes closest."""

    code = "misunderstood"

    def __init__(self, what: str, nearest: str) -> None:
        super().__init__(f"{what} Did you mean `{nearest}`?" if nearest != "help" else f"{what} Say `help`.")
        self.what, self.nearest = what, nearest


class _No(Exception):
    """Not a command, because of ``what``."""


def parse(text: str, words: Vocabulary) -> Command:
    """Understand one message.

    :raises Misunderstood: with what is wrong, and the nearest command that is right.
    """
    cleaned, mentions = _mask(text)
    try:
        if len(text) > LONGEST:
            raise _No(
                f"That message has {len(text):,} characters; a command has at most {LONGEST:,}. "
                "Nothing was done."
            )
        _one_command(cleaned, words)
        return _parse(cleaned.split(), mentions, words)
    except _No as wrong:
        raise Misunderstood(str(wrong), _nearest(cleaned, mentions, words)) from None


# Words

_SPECIAL = re.compile(r"<[@!#][^<>\n]*>")
_MASKED = re.compile("\x01(\\d+)\x01")
#: Phones write a dash of their own for two hyphens.
_DASHES = ("--", "—", "–")  # noqa: RUF001


def _mask(text: str) -> tuple[str, list[str]]:
    """Mentions out, so that what is in them separates nothing: ``<@U1|dana; release! dev-02>``."""
    mentions: list[str] = []

    def keep(found: re.Match[str]) -> str:
        mentions.append(found[0])
        return f"\x01{len(mentions) - 1}\x01"

    plain = "".join(c for c in text if c in "\n\t" or c.isprintable()).strip()
    return _SPECIAL.sub(keep, plain), mentions


def _unmask(text: str, mentions: Sequence[str]) -> str:
    """A mention within somebody's words, as words: ``@dana``; `<!channel>` calls nobody any more."""

    def show(found: re.Match[str]) -> str:
        inner = mentions[int(found[1])][1:-1]
        label = inner.partition("|")[2] or inner[1:].partition("|")[0].partition("^")[0]
        return f"{inner[0] if inner[0] != '!' else '@'}{label}"

    return _MASKED.sub(show, text)


def _one_command(text: str, words: Vocabulary) -> None:
    head = _split_reason(text.split(), words)[0]
    if "\n" in text or any(re.search(r";|&&|\|", word) for word in head):
        raise _No("That looks like more than one command; nothing was done. Say one in each message.")


def _split_reason(tokens: Sequence[str], words: Vocabulary) -> tuple[list[str], list[str] | None]:
    verb = words.verb_of(tokens)
    if verb is not None and verb.reason == "words":
        at = len(verb.name.split())
        # In a comment on a pull request `emergency 500 errors` names no other one.
        named = verb.place == "pull" and tokens[at:] and pull_of(tokens[at]) is not None
        at += bool(named and (words.pull is None or not tokens[at].isdigit()))
        reason = list(tokens[at:])
        return list(tokens[:at]), (reason[1:] if reason[:1] and reason[0] in _DASHES else reason)
    for at, token in enumerate(tokens):
        if token in _DASHES:
            return list(tokens[:at]), list(tokens[at + 1 :])
    return list(tokens), None


def _verb(tokens: Sequence[str], words: Vocabulary) -> tuple[Verb, list[str]]:
    if not tokens:
        return words.verbs["help"], []
    verb = words.verb_of(tokens)
    if verb is not None:
        return verb, list(tokens[len(verb.name.split()) :])
    first = tokens[0].lower()
    if first in words.first_words:
        forms = [f"`{each.usage}`" for name, each in words.verbs.items() if name.split()[0] == first]
        raise _No(f"`{first}` is {' or '.join(forms)}.")
    raise _No(f"I do not know `{_shown(tokens[0])}`.")


def _parse(tokens: Sequence[str], mentions: Sequence[str], words: Vocabulary) -> Command:
    head, reason_words = _split_reason(tokens, words)
    verb, rest = _verb(head, words)
    reason = _reason(verb, reason_words, mentions)
    # A revision or a name may be called `for`; times follow only those verbs that have one.
    rest, duration, until = _time(verb, rest)
    pull, rest = _pull(verb, rest, words)
    places, rest = _places(verb, rest, words)
    landing, rest = _landing(verb, rest)
    person, rest = _person(verb, rest, mentions)
    if rest and (not verb.rest or verb.rest == "landing"):
        raise _No(_surplus(verb, rest, words, mentions))
    said = _rest(verb, rest, mentions, words)
    return Command(verb, places, duration, until, reason, person, said, pull, **landing)


def _pull(verb: Verb, tokens: list[str], words: Vocabulary) -> tuple[int | None, list[str]]:
    if verb.place not in ("pull", "optional_pull"):
        return None, tokens
    named = [token for token in tokens if pull_of(token) is not None]
    if len(named) > 1:
        raise _No(f"One pull request at a time; nothing was done: `{verb.usage}`.")
    if named:
        return pull_of(named[0]), [token for token in tokens if token != named[0]]
    if words.pull is None and verb.place == "pull":
        raise _No(f"Which pull request? `{verb.usage}`.")
    return words.pull, tokens


#: A commit, or as much of it as makes it known; SHA-1 and SHA-256.
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)


def _landing(verb: Verb, tokens: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Commit, priority and `solo`, in any order, each once."""
    found: dict[str, Any] = {}
    left: list[str] = []
    for token in tokens if verb.rest == "landing" else ():
        field = _field(token.lower())
        if field is None:
            left.append(token)
        elif field in found:
            raise _No(f"`{_shown(token)}` is a second {field}; nothing was done: `{verb.usage}`.")
        else:
            found[field] = True if field == "solo" else token.lower().removeprefix("p=")
    if found.get("priority", "normal") not in PRIORITIES:
        raise _No(f"`p=` is {', '.join(PRIORITIES[:-1])} or {PRIORITIES[-1]}.")
    return found, left if verb.rest == "landing" else tokens


def _field(word: str) -> str | None:
    if word == "solo":
        return "solo"
    if word.startswith("p="):
        return "priority"
    return "commit" if _COMMIT.fullmatch(word) else None


def _reason(verb: Verb, said: Sequence[str] | None, mentions: Sequence[str]) -> str:
    reason = _unmask(" ".join(said or ()), mentions)
    if said is not None and verb.reason == "no":
        raise _No(f"`{verb.name}` takes no reason.")
    if verb.reason == "must" and not reason:
        raise _No(f"`{verb.name}` needs a reason: `-- why`.")
    if verb.reason == "words" and not reason:
        raise _No(f"`{verb.name}` needs a reason: `{verb.usage}`.")
    if len(reason) > LONGEST_REASON:
        raise _No(f"A reason has at most {LONGEST_REASON} characters, this one has {len(reason)}.")
    return reason


def _time(verb: Verb, tokens: list[str]) -> tuple[list[str], timedelta | None, When | None]:
    if not verb.time:
        return tokens, None, None
    lowered = [token.lower() for token in tokens]
    if "tonight" in verb.time and lowered and lowered[-1] == "tonight" and "until" not in lowered:
        return tokens[:-1], None, TONIGHT
    at = next((n for n, token in enumerate(lowered) if token in ("for", "until")), None)
    if at is None:
        return tokens, None, None
    kind, said = lowered[at], tokens[at + 1 :]
    if kind not in verb.time:
        raise _No(f"`{verb.name}` takes no `{kind}`: `{verb.usage}`.")
    text = " ".join(said)
    if kind == "for":
        duration = parse_duration(text)
        if not duration:
            raise _No(f"`{text[:40]}` is no duration, such as 4h, 90m or 1h30m.")
        return tokens[:at], duration, None
    when = parse_when(said)
    if when is None:
        raise _No(f"`{text[:40]}` is no time, such as 17:40, tomorrow 09:00, mon or 2026-03-09.")
    return tokens[:at], None, when


def _places(verb: Verb, tokens: list[str], words: Vocabulary) -> tuple[tuple[str, ...], list[str]]:
    if verb.place in ("none", "pull", "optional_pull"):
        return (), tokens
    names = {*words.environments, "any"} if verb.place.endswith("or_any") else set(words.environments)
    if verb.place == "many":
        wrong = next((token for token in tokens if token not in names), None)
        if wrong is not None:
            raise _No(_unknown(wrong, words))
        found, rest = list(dict.fromkeys(tokens)), []
    elif tokens:
        if tokens[0] not in names:
            raise _No(_unknown(tokens[0], words))
        found, rest = tokens[:1], tokens[1:]
    else:
        found, rest = [], []
    if not found and verb.place in ("own", "many"):
        if len(words.own) != 1:
            have = f"you have {', '.join(words.own)}" if words.own else "you have none"
            raise _No(f"Which environment? ({have})")
        found = list(words.own)
    if not found and verb.place in ("one", "one_or_any"):
        raise _No(f"Which environment? `{verb.usage}`.")
    return tuple(found), rest


def _person(verb: Verb, tokens: list[str], mentions: Sequence[str]) -> tuple[str, list[str]]:
    if verb.rest != "person":
        return "", tokens
    if not tokens:
        raise _No(f"To whom? `{verb.usage}`.")
    masked = _MASKED.fullmatch(tokens[0])
    if masked:
        mention = mentions[int(masked[1])]
        if not mention.startswith("<@"):
            raise _No("That is not a person.")
        name = "@" + mention[2:-1].partition("|")[0]
    else:
        name = tokens[0].removeprefix("@")
    if not name or len(tokens) > 1:
        raise _No(f"To whom? `{verb.usage}`.")
    return name, []


def _rest(
    verb: Verb, tokens: list[str], mentions: Sequence[str], words: Vocabulary
) -> tuple[str, ...]:  # fmt: skip
    said = [_unmask(token, mentions) for token in tokens]
    if verb.rest == "ref":
        if not said:
            raise _No(f"Which revision? `{verb.usage}`.")
        if said[0].startswith("-"):
            raise _No(f"`{said[0][:40]}` is no revision.")
        return (said[0], *dict.fromkeys(said[1:]))
    if verb.rest == "confirm":
        if said and not (len(said) == 2 and said[0].lower() == "confirm" and len(said[1]) == 4):
            raise _No(f"`{verb.usage}`: say it without `confirm` first, it shows the four characters.")
        return tuple(said[1:])
    if verb.rest == "verb":
        if said and " ".join(said) not in words.verbs:
            raise _No(f"I do not know `{' '.join(said)[:40]}`.")
        return (" ".join(said),) if said else ()
    if len(said) > 1:
        raise _No(f"`{verb.usage}`: that is one word.")
    return tuple(said)


def _unknown(word: str, words: Vocabulary) -> str:
    if word.lower() in words.first_words:
        return f"`{word}` is a second command; nothing was done. Say one in each message."
    there = ", ".join(words.environments) or "none"
    return f"No environment is called `{_shown(word)}`; there are: {there}."


def _surplus(verb: Verb, rest: Sequence[str], words: Vocabulary, mentions: Sequence[str]) -> str:
    if rest[0].lower() in words.first_words:
        return _unknown(rest[0], words)
    return f"I do not understand `{_shown(_unmask(rest[0], mentions))}` here: `{verb.usage}`."


def _shown(word: str) -> str:
    return _MASKED.sub("@…", word)[:40].replace("`", "'")


# The nearest command


def _nearest(text: str, mentions: Sequence[str], words: Vocabulary) -> str:
    """A command that is right and close to what was said; ``help`` when nothing is."""
    first = re.split(r"\n|;|&&|\|", text[:LONGEST], maxsplit=1)[0]
    head, reason = _split_reason(first.split(), words)
    for candidate in repairs(head, reason, words, LONGEST_REASON):
        try:
            found = _parse(candidate, mentions, words)
            # Where the pull request is understood, nobody types it.
            return str(replace(found, pull=None) if found.pull == words.pull else found)
        except _No:
            continue
    return "help"
