"""Merge commits without a working tree, on real repositories."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daybreak.git import merging
from daybreak.git.command import GitError
from daybreak.git.merging import Member, MergeConflict
from tests.monorepo import Monorepo

AT = datetime(2026, 3, 6, 9, tzinfo=UTC)


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    made = Monorepo(tmp_path / "repo")
    made.commit({"a": "1\n", "b": "1\n"})
    return made


def branch(monorepo: Monorepo, name: str, **files: str) -> Member:
    monorepo.git("checkout", "--quiet", "-b", name, "main")
    head = monorepo.commit(files)
    monorepo.git("checkout", "--quiet", "main")
    return Member(f"#{name}", head, f"Merge #{name}\n\nby Dana")


def test_members_are_merged_in_their_order_a_commit_each(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    one, two = branch(monorepo, "1", a="2\n"), branch(monorepo, "2", b="2\n")
    first, second = merging.merge(monorepo.repo, base, [one, two], at=AT)
    assert monorepo.git("rev-parse", f"{first}^1", f"{first}^2").split() == [base, one.head]
    assert monorepo.git("rev-parse", f"{second}^1", f"{second}^2").split() == [first, two.head]
    assert monorepo.git("show", f"{second}:a", f"{second}:b").split() == ["2", "2"]
    assert merging.message_of(monorepo.repo, second) == "Merge #2\n\nby Dana"
    # Nothing of the repository moved: neither a branch nor the working tree.
    assert monorepo.repo.rev_parse("main") == base
    assert monorepo.git("status", "--porcelain") == ""


def test_squashed_or_rebased_it_holds_what_the_merge_holds_and_keeps_who_wrote_it(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    monorepo.git("checkout", "--quiet", "-b", "more", "main")
    monorepo.commit({"a": "2\n"})
    monorepo.git("commit", "--quiet", "--amend", "--author=Eli <eli@acme.example>", "--message=First\n\nWhy.")
    monorepo.commit({"a": "3\n", "c": "x\n"})
    monorepo.git("commit", "--quiet", "--amend", "--author=Noa <noa@acme.example>", "--message=Second")
    member = Member("#1", monorepo.repo.rev_parse("HEAD"), "More (#1)\n")
    monorepo.git("checkout", "--quiet", "main")
    other = branch(monorepo, "2", b="2\n")
    made = {
        style: merging.merge(monorepo.repo, base, [other, member], at=AT, style=style)[-1]
        for style in merging.Style
    }
    assert len({merging.tree_of(monorepo.repo, each) for each in made.values()}) == 1
    assert made["squash"] == merging.merge(
        monorepo.repo, base, [other, member], at=AT, style=merging.Style.SQUASH
    )[-1]  # fmt: skip
    assert monorepo.git("log", "-1", "--format=%an, %cn, %P", made["squash"]).startswith("Noa, Daybreak, ")
    assert merging.message_of(monorepo.repo, made["squash"]) == (
        "More (#1)\n\nCo-authored-by: Eli <eli@acme.example>"
    )
    rebased = monorepo.git("log", "--format=%an %s", f"{base}..{made['rebase']}").splitlines()
    assert rebased[:2] == ["Noa Second", "Eli First"]
    assert merging.message_of(monorepo.repo, f"{made['rebase']}^") == "First\n\nWhy."
    # What is there already adds no commit.
    again = merging.merge(monorepo.repo, made["rebase"], [member], at=AT, style=merging.Style.SQUASH)
    assert again == [made["rebase"]]


def test_what_only_a_merge_commit_holds_is_not_lost_by_a_rebase(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    branch(monorepo, "1", b="2\n")
    monorepo.git("checkout", "--quiet", "-b", "evil", "main")
    monorepo.commit({"a": "2\n"})
    monorepo.git("merge", "--quiet", "--no-commit", "--no-ff", "1")
    (monorepo.path / "sneaked").write_text("x")
    monorepo.git("add", "sneaked")
    monorepo.git("commit", "--quiet", "--message=Merge 1")
    member = Member("#3", monorepo.repo.rev_parse("HEAD"), "")
    with pytest.raises(MergeConflict, match="#3 cannot be rebased: a merge commit of its branch"):
        merging.merge(monorepo.repo, base, [member], at=AT, style=merging.Style.REBASE)


def test_the_same_merge_made_again_is_the_same_commit(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    members = [branch(monorepo, "1", a="2\n"), branch(monorepo, "2", b="2\n")]
    assert merging.merge(monorepo.repo, base, members, at=AT) == merging.merge(
        monorepo.repo, base, members, at=AT
    )


def test_a_conflict_names_the_member_what_was_merged_before_it_and_the_files(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    odd = 'b "q"\n.txt'
    one = branch(monorepo, "1", **{"a": "2\n", odd: "x"})
    two = branch(monorepo, "2", **{"a": "3\n", odd: "y"})
    merging.merge(monorepo.repo, base, [two], at=AT)
    with pytest.raises(MergeConflict) as caught:
        merging.merge(monorepo.repo, base, [one, two], at=AT)
    assert (caught.value.member, caught.value.after) == ("#2", ("#1",))
    assert set(caught.value.paths) == {"a", odd}
    assert "#2 conflicts with main and #1 in " in str(caught.value)


def test_what_main_contains_already_adds_no_commit(monorepo: Monorepo) -> None:
    one = branch(monorepo, "1", a="2\n")
    base = merging.merge(monorepo.repo, monorepo.repo.rev_parse("main"), [one], at=AT)[-1]
    assert merging.merge(monorepo.repo, base, [one], at=AT) == [base]


def test_a_commit_that_is_not_there_is_an_error_and_no_conflict(monorepo: Monorepo) -> None:
    base = monorepo.repo.rev_parse("main")
    with pytest.raises(GitError):
        merging.merge(monorepo.repo, base, [Member("#9", "0" * 39 + "1", "m")], at=AT)
