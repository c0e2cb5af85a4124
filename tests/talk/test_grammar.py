"""One grammar: what it understands, what it refuses, and that every refusal shows a right command."""

from __future__ import annotations

import re
from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.talk.addressed import addressed
from daybreak.talk.grammar import LONGEST, Command, Misunderstood, parse
from daybreak.talk.verbs import BOBBY, GANDALF, Vocabulary
from daybreak.talk.when import TONIGHT, When

WORDS = Vocabulary(["dev-01", "dev-02", "dev-10"], ["dev-02"])
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("", Command(BOBBY["help"])),
        ("status", Command(BOBBY["status"])),
        ("LOCK dev-01", Command(BOBBY["lock"], ("dev-01",))),
        ("lock any for 1h30m -- load test", Command(BOBBY["lock"], ("any",), 1.5 * HOUR, reason="load test")),
        ("lock dev-01 until 17:40", Command(BOBBY["lock"], ("dev-01",), until=When(at=time(17, 40)))),
        ("lock dev-01 until tomorrow 9am",
         Command(BOBBY["lock"], ("dev-01",), until=When("tomorrow", time(9)))),
        ("extend for 2 hours 15 min", Command(BOBBY["extend"], ("dev-02",), 2.25 * HOUR)),
        ("release dev-01 dev-10 dev-01", Command(BOBBY["release"], ("dev-01", "dev-10"))),
        ("preserve", Command(BOBBY["preserve"], ("dev-02",))),
        ("preserve dev-01 tonight — demo", Command(BOBBY["preserve"], ("dev-01",), until=TONIGHT,
                                                   reason="demo")),
        ("preserve dev-01 until Monday", Command(BOBBY["preserve"], ("dev-01",), until=When("mon"))),
        ("give dev-02 <@U1|dana; release! dev-01>", Command(BOBBY["give"], ("dev-02",), person="@U1")),
        ("give dev-02 @dana -- yours", Command(BOBBY["give"], ("dev-02",), person="dana", reason="yours")),
        ("queue", Command(BOBBY["queue"])),
        ("weekend keep dev-01", Command(BOBBY["weekend keep"], ("dev-01",))),
        ("deploy dev-01 feature/for trips fleet",
         Command(BOBBY["deploy"], ("dev-01",), rest=("feature/for", "trips", "fleet"))),
        ("scorch dev-01 confirm a1B2", Command(BOBBY["scorch"], ("dev-01",), rest=("a1B2",))),
        ("lock! dev-01 for 1h -- a; b | c", Command(BOBBY["lock!"], ("dev-01",), HOUR, reason="a; b | c")),
        ("fault dev-01 -- <!channel> <@U2|eli> see <#C1|ops>",
         Command(BOBBY["fault"], ("dev-01",), reason="@channel @eli see #ops")),
        ("help weekend keep", Command(BOBBY["help"], rest=("weekend keep",))),
    ],
)  # fmt: skip
def test_what_is_understood_and_that_it_can_be_said_again(said: str, understood: Command) -> None:
    assert parse(said, WORDS) == understood
    assert parse(str(understood), WORDS) == understood


@pytest.mark.parametrize(
    ("said", "what", "nearest"),
    [
        ("lokc dev-01", "do not know `lokc`", "lock dev-01"),
        ("lock dev02 for 4h", "No environment is called `dev02`", "lock dev-02 for 4h"),
        ("lock DEV-01", "No environment is called `DEV-01`", "lock dev-01"),
        ("lock dev-01 4h -- x", "do not understand `4h`", "lock dev-01 for 4h -- x"),
        ("lock dev-01 for ever", "no duration", "lock dev-01 for 2h"),
        ("lock dev-01; release! dev-02", "more than one command", "lock dev-01"),
        ("lock dev-01\nrelease! dev-02 -- x", "more than one command", "lock dev-01"),
        ("lock dev-01 -- ok\nrelease! dev-02 -- x", "more than one command", "lock dev-01 -- ok"),
        ("lock dev-01 && release dev-02", "more than one command", "lock dev-01"),
        ("lock dev-01 release dev-02", "second command", "lock dev-01"),
        ("release dev-02 lock dev-01", "second command", "release dev-02"),
        ("freeze", "needs a reason", "freeze -- why"),
        ("release! dev-01", "needs a reason", "release! dev-01 -- why"),
        ("preserve dev-01 for 3h", "takes no `for`", "preserve dev-01 tonight"),
        ("preserve dev-01 until someday", "is no time", "preserve dev-01 tonight"),
        ("weekend", "weekend keep", "weekend drop dev-02"),
        ("deploy dev-01", "Which revision", "deploy dev-01 main"),
        ("deploy dev-01 --upload-pack=x", "is no revision", "deploy dev-01 main"),
        ("scorch dev-01 confirm a1b", "four characters", "scorch dev-01"),
        ("give dev-02 <#C1|ops>", "not a person", "give dev-02 @somebody"),
        ("thaw -- it is over", "takes no reason", "thaw"),
        ("good morning", "do not know `good`", "help"),
        ("x" * 5000, "5,000 characters", "help"),
        (f"lock dev-01 -- {'x' * 301}", "at most 300 characters", f"lock dev-01 -- {'x' * 300}"),
    ],
)
def test_what_is_refused_and_the_right_command_that_is_nearest(said: str, what: str, nearest: str) -> None:
    with pytest.raises(Misunderstood, match=what) as refused:
        parse(said, WORDS)
    assert refused.value.nearest == nearest
    assert nearest in str(refused.value)


def test_who_has_none_or_several_must_say_which() -> None:
    with pytest.raises(Misunderstood, match="you have none"):
        parse("extend", Vocabulary(["dev-01"]))
    with pytest.raises(Misunderstood, match="you have dev-01, dev-02"):
        parse("release", Vocabulary(["dev-01", "dev-02"], ["dev-01", "dev-02"]))


_PIECES = st.sampled_from(
    [*BOBBY, "dev-01", "dev-1", "any", "for", "until", "4h", "mon", "17:40", "tonight", "--", "—", ";",
     "<@U1|dana>", "<!channel>", "@eli", "confirm", "a1b2", "main", "why", "\n", "|", "\x00", "for 4h"]
)  # fmt: skip


@given(st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=9).map(" ".join))
def test_whatever_is_said_it_is_a_command_or_shows_one(said: str) -> None:
    try:
        understood = parse(said, WORDS)
    except Misunderstood as refused:
        parse(refused.nearest, WORDS)
        return
    assert parse(str(understood), WORDS) == understood
    assert set(understood.environments) <= {*WORDS.environments, "any"}
    assert len(said) <= LONGEST


# Gandalf's


HERE = Vocabulary(verbs=GANDALF, pull=12)
ELSEWHERE = Vocabulary(verbs=GANDALF)
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("merge", Command(GANDALF["merge"], pull=12)),
        ("MERGE #13", Command(GANDALF["merge"], pull=13)),
        ("merge pr/13 solo", Command(GANDALF["merge"], pull=13, solo=True)),
        ("merge 13", Command(GANDALF["merge"], pull=13)),
        (f"merge p=high {SHA} solo", Command(GANDALF["merge"], pull=12, commit=SHA, priority="high",
                                             solo=True)),
        ("merge ABCDEF1", Command(GANDALF["merge"], pull=12, commit="abcdef1")),
        # Seven digits are the beginning of a commit.
        ("merge 1234567", Command(GANDALF["merge"], pull=12, commit="1234567")),
        ("try p=low", Command(GANDALF["try"], pull=12, priority="low")),
        ("cancel -- wrong branch", Command(GANDALF["cancel"], pull=12, reason="wrong branch")),
        ("explain trips", Command(GANDALF["explain"], pull=12, rest=("trips",))),
        ("delegate @dana-l", Command(GANDALF["delegate"], pull=12, person="dana-l")),
        ("delegate <@U1|dana> #13", Command(GANDALF["delegate"], pull=13, person="@U1")),
        ("hold", Command(GANDALF["hold"], pull=12)),
        ("pause incident 42; see | #ops", Command(GANDALF["pause"], reason="incident 42; see | #ops")),
        ("pause -- incident 42", Command(GANDALF["pause"], reason="incident 42")),
        ("emergency #13 the gate is down -- again",
         Command(GANDALF["emergency"], pull=13, reason="the gate is down -- again")),
        # In a comment, a number that a reason begins with is no pull request.
        ("emergency 500 errors", Command(GANDALF["emergency"], pull=12, reason="500 errors")),
        ("env heal", Command(GANDALF["env heal"])),
        ("help env heal", Command(GANDALF["help"], rest=("env heal",))),
        ("", Command(GANDALF["help"])),
    ],
)  # fmt: skip
def test_what_gandalf_understands_and_that_it_can_be_said_anywhere(said: str, understood: Command) -> None:
    assert parse(said, HERE) == understood
    assert parse(str(understood), HERE) == parse(str(understood), ELSEWHERE) == understood


@pytest.mark.parametrize(
    ("said", "what", "here", "elsewhere"),
    [
        ("mrege", "do not know `mrege`", "merge", "merge #12"),
        ("merge p=urgent", "low, normal or high", "merge p=high", "merge #12 p=high"),
        ("merge #13 hihg", "do not understand `hihg`", "merge #13 p=high", "merge #13 p=high"),
        ("merge solo solo", "a second solo", "merge solo", "merge #12 solo"),
        ("merge #13 #14", "One pull request at a time", "merge #13", "merge #13"),
        ("merge now please", "do not understand `now`", "merge", "merge #12"),
        ("delegate", "To whom", "delegate @somebody", "delegate #12 @somebody"),
        ("pause", "needs a reason", "pause why", "pause why"),
        ("emergency #13", "needs a reason", "emergency #13 why", "emergency #13 why"),
        ("env", "`env` is `env heal`", "env heal", "env heal"),
        ("merge && approve", "more than one command", "merge", "merge #12"),
        ("merge\nresume", "more than one command", "merge", "merge #12"),
        ("lock dev-01", "do not know `lock`", "help", "help"),
        (f"hold -- {'x' * 5000}", "5,0.. characters", None, None),
    ],
)
def test_what_gandalf_refuses_and_the_right_command_for_that_place(
    said: str, what: str, here: str | None, elsewhere: str | None
) -> None:
    for words, nearest in ((HERE, here), (ELSEWHERE, elsewhere)):
        with pytest.raises(Misunderstood) as refused:
            parse(said, words)
        if nearest is not None:
            assert refused.value.nearest == nearest
        parse(refused.value.nearest, words)
        if words is HERE:  # elsewhere the first thing wrong may be that none is named
            assert re.search(what, str(refused.value))


def test_outside_of_a_comment_somebody_must_say_which_pull_request() -> None:
    with pytest.raises(Misunderstood, match="Which pull request"):
        parse("cancel", ELSEWHERE)
    assert parse("status", ELSEWHERE).pull is None


_PARTS = st.sampled_from(
    [*GANDALF, "#12", "13", "pr/7", "#0", SHA, SHA[:9], "p=high", "p=", "solo", "--", "—", ";", "<@U1|dana>",
     "<!channel>", "@eli", "trips", "why", "\n", "|", "\x00", "500"]
)  # fmt: skip


@given(
    st.lists(st.one_of(_PARTS, st.text(max_size=12)), max_size=9).map(" ".join),
    st.sampled_from([HERE, ELSEWHERE]),
)
def test_whatever_is_said_to_gandalf_it_is_a_command_or_shows_one(said: str, words: Vocabulary) -> None:
    try:
        understood = parse(said, words)
    except Misunderstood as refused:
        parse(refused.nearest, words)
        return
    assert parse(str(understood), words) == understood
    assert understood.verb.place != "pull" or understood.pull is not None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("@gandalf merge", "merge"),
        ("/gandalf merge p=high\r\n\r\nThanks for the review!", "merge p=high"),
        ("\n  @Gandalf: merge", "merge"),
        ("@gandalf", ""),
        ("@gandalf merge\n/gandalf cancel", "merge\ncancel"),
        ("@gandalf merge\n\n> @gandalf cancel\n\n```\n@gandalf pause x\n```", "merge"),
        ("> @gandalf merge", None),
        ("```\n@gandalf merge\n```", None),
        ("~~~\n@gandalf merge", None),
        ("    @gandalf merge", None),
        ("\t@gandalf merge", None),
        ("`@gandalf merge`", None),
        ("<!-- x -->\n@gandalf merge", None),
        ("please, @gandalf merge", None),
        ("I said:\n@gandalf merge", None),
        ("@gandalf-bot merge", None),
        ("@gandalfmerge", None),
        ("", None),
    ],
)
def test_only_who_begins_with_his_name_speaks_to_gandalf(body: str, said: str | None) -> None:
    assert addressed(body) == said


@given(st.text(), st.sampled_from(["> ", "    ", "\t", "```\n", "~~~\n", "so: ", "`"]))
def test_what_is_quoted_or_code_is_no_command(body: str, before: str) -> None:
    assert addressed(f"{before}@gandalf merge {body}") is None
