"""The nearest right command to one that was not understood: shown, never done. Pure."""

from __future__ import annotations

import difflib

from daybreak.talk.verbs import PRIORITIES, Verb, Vocabulary, pull_of
from daybreak.talk.when import parse_duration, parse_when, say_duration


def repairs(
    head: list[str], reason: list[str] | None, words: Vocabulary, longest_reason: int
) -> list[list[str]]:
    """Candidates, the closest first, each as tokens; whether one is right, the parser says."""
    names = sorted(words.verbs)
    lowered = [token.lower() for token in head]
    verb = next((n for n in names if lowered[: len(n.split())] == n.split()), None)
    if verb is None and lowered:
        known = [name.split()[0] for name in names]
        near = difflib.get_close_matches(lowered[0], known, 1, 0.6)
        verb = next(name for name in names if name.split()[0] == near[0]) if near else None
    if verb is None:
        return []
    spec = words.verbs[verb]
    rest = head[len(verb.split()) :] if lowered[: len(verb.split())] == verb.split() else head[1:]
    if len(verb.split()) > 1 and rest and rest[0].lower() not in words.environments:
        rest = rest[1:]
    places, others = _repaired_places(spec, rest, words)
    clock = _repaired_time(spec, rest)
    tail = _repaired_rest(spec, others)
    if spec.reason == "no":
        why: list[str] = []
    elif reason:
        why = ["--", *" ".join(reason)[:longest_reason].split()]
    else:
        why = ["--", "why"] if spec.reason in ("must", "words") else []
    base = verb.split()
    if spec.rest:
        plain = _repaired_rest(spec, [])
        return [[*base, *places, *some, *clock, *why] for some in (tail, plain)]
    return [[*base, *places, *tail, *clock, *why], [*base, *places, *tail, *why], [*base, *why]]


def _repaired_places(spec: Verb, rest: list[str], words: Vocabulary) -> tuple[list[str], list[str]]:
    if spec.place == "none":
        return [], rest
    if spec.place in ("pull", "optional_pull"):
        return _repaired_pull(spec, rest, words)
    found: list[str] = []
    others: list[str] = []
    for token in rest:
        if token.lower() in ("for", "until", "tonight") or (found and token.lower() in words.first_words):
            break
        near = difflib.get_close_matches(token.lower(), [*words.environments, "any"], 1, 0.7)
        if near and (near[0] != "any" or spec.place.endswith("or_any")):
            found.append(near[0])
        else:
            others.append(token)
    if not found and spec.place not in ("optional", "optional_or_any"):
        found = [*words.own, "any" if spec.place == "one_or_any" else "", *words.environments][:1]
        found = [name for name in found if name] or list(words.environments[:1])
    return (found if spec.place == "many" else found[:1]), others


def _repaired_pull(spec: Verb, rest: list[str], words: Vocabulary) -> tuple[list[str], list[str]]:
    named = [token for token in rest if pull_of(token) is not None][:1]
    others = [token for token in rest if pull_of(token) is None]
    if not named and words.pull is None and spec.place == "pull":
        named = ["#12"]
    return named, others


def _repaired_time(spec: Verb, rest: list[str]) -> list[str]:
    lowered = [token.lower() for token in rest]
    if not spec.time:
        return []
    if "tonight" in spec.time:
        until = lowered.index("until") if "until" in lowered else None
        when = parse_when(lowered[until + 1 :]) if until is not None else None
        return ["until", *str(when).split()] if when else ["tonight"]
    # `lock dev-01 4h`: the word that was forgotten.
    for token in lowered:
        length = parse_duration(token)
        if length:
            return ["for", say_duration(length)]
    if "until" in lowered:
        when = parse_when(lowered[lowered.index("until") + 1 :][:2])
        return ["until", *str(when).split()] if when else []
    return ["for", "2h"] if "for" in lowered else []


def _repaired_rest(spec: Verb, others: list[str]) -> list[str]:
    if spec.rest == "person":
        return others[:1] or ["@somebody"]
    if spec.rest == "ref":
        return others or ["main"]
    if spec.rest == "landing":
        return _repaired_landing(others)
    return []


def _repaired_landing(others: list[str]) -> list[str]:
    found = []
    for token in others:
        name, _, value = token.lower().partition("=")
        near = difflib.get_close_matches(value or name, PRIORITIES, 1, 0.7)
        if name in ("p", "prio", "priority") or near:
            found.append(f"p={near[0] if near else 'high'}")
        elif difflib.get_close_matches(name, ["solo"], 1, 0.6):
            found.append("solo")
    return list(dict.fromkeys(found))
