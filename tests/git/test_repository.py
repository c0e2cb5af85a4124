"""Repositories as git sees them, on real repositories."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.errors import UsageError
from daybreak.git.command import GitError
from daybreak.git.mirrors import mirror
from daybreak.git.repository import Repository
from tests.monorepo import Monorepo

ODD = 'b\N{LATIN SMALL LETTER E WITH ACUTE} "q"\n\t\udcff.txt'


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    return Monorepo(tmp_path / "repo")


def test_a_revision_resolves_to_its_full_commit(monorepo):
    commit = monorepo.commit({"a": "1"})
    monorepo.git("tag", "-a", "v1", "-m", "v1")
    assert monorepo.repo.rev_parse("main") == commit
    assert monorepo.repo.rev_parse("v1") == commit
    assert monorepo.repo.rev_parse(commit[:8]) == commit


@pytest.mark.parametrize("revision", ["nope", "--all", "", "main:a"])
def test_an_unknown_revision_is_a_usage_error_that_names_it(monorepo, revision):
    monorepo.commit({"a": "1"})
    with pytest.raises(UsageError, match="names no commit"):
        monorepo.repo.rev_parse(revision)


def test_a_folder_without_a_repository_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="not a git repository"):
        Repository(tmp_path / "nowhere").rev_parse("main")


def test_the_tree_lists_odd_names_modes_and_links(monorepo):
    monorepo.write({"a/" + ODD: "x", "a/run.sh": "#!/bin/sh\n", "c": "y"})
    (monorepo.path / "a/run.sh").chmod(0o755)
    (monorepo.path / "a/link").symlink_to("../c")
    commit = monorepo.commit()
    found = {entry.path: (entry.mode, entry.type) for entry in monorepo.repo.ls_tree(commit)}
    assert found == {
        f"a/{ODD}": ("100644", "blob"),
        "a/run.sh": ("100755", "blob"),
        "a/link": ("120000", "blob"),
        "c": ("100644", "blob"),
    }
    assert [entry.path for entry in monorepo.repo.ls_tree(commit, ["c"])] == ["c"]


def test_a_file_is_read_as_it_was_at_that_commit(monorepo):
    first = monorepo.commit({"a": b"1\r\n\0"})
    monorepo.commit({"a": "2"})
    assert monorepo.repo.read(first, "a") == b"1\r\n\0"
    with pytest.raises(UsageError, match="b is not a file of commit"):
        monorepo.repo.read(first, "b")


def test_an_export_holds_the_exact_blobs_whatever_attributes_say(monorepo, tmp_path):
    monorepo.write({
        ".gitattributes": "secret export-ignore\nversion export-subst\n*.txt text eol=crlf\n",
        "d/secret": "s", "d/version": "$Format:%H$\n", "d/run": "#!/bin/sh\n", "d/x.txt": "1\n2\n",
        f"d/{ODD}": "odd", "other": "o",
    })  # fmt: skip
    (monorepo.path / "d/run").chmod(0o755)
    (monorepo.path / "d/link").symlink_to("run")
    commit = monorepo.commit()
    monorepo.write({"d/secret": "edited, not committed"})
    monorepo.repo.export(commit, ["d"], tmp_path / "out")
    out = tmp_path / "out" / "d"
    assert sorted(os.listdir(out)) == sorted(["secret", "version", "run", "x.txt", ODD, "link"])
    assert (out / "secret").read_bytes() == b"s"
    assert (out / "version").read_bytes() == b"$Format:%H$\n"
    assert (out / "x.txt").read_bytes() == b"1\n2\n"
    assert (out / "link").readlink() == Path("run")
    assert stat.S_IMODE((out / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "secret").stat().st_mode) == 0o644
    assert not (tmp_path / "out" / "other").exists()


def test_an_export_writes_nothing_into_the_repository(monorepo, tmp_path):
    commit = monorepo.commit({"a": "1"})

    def everything() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in monorepo.path.rglob("*")}

    before = everything()
    monorepo.repo.export(commit, [], tmp_path / "out")
    assert everything() == before


def test_a_raw_diff_sees_renames_as_two_changes_and_modes(monorepo):
    monorepo.write({"a": "same content\n", "run": "x", ODD: "x", "gone": ""})
    base = monorepo.commit()
    monorepo.git("mv", "a", "b")
    monorepo.remove("gone")
    (monorepo.path / "run").chmod(0o755)
    head = monorepo.commit({ODD: "y"})
    found = {(change.status, change.path) for change in monorepo.repo.diff_raw(base, head)}
    assert found == {("D", "a"), ("A", "b"), ("M", "run"), ("M", ODD), ("D", "gone")}


def test_all_merge_bases_are_found_and_none_without_shared_history(monorepo):
    root = monorepo.commit({"a": "1"})
    monorepo.git("checkout", "-q", "-b", "side")
    side = monorepo.commit({"b": "1"})
    monorepo.git("checkout", "-q", "main")
    main = monorepo.commit({"c": "1"})
    assert monorepo.repo.merge_bases(side, main) == [root]
    monorepo.git("merge", "-q", "-m", "m", side)
    crossed_main = monorepo.git("rev-parse", "HEAD")
    monorepo.git("checkout", "-q", "side")
    monorepo.git("merge", "-q", "-m", "m", main)
    crossed_side = monorepo.git("rev-parse", "HEAD")
    assert set(monorepo.repo.merge_bases(crossed_main, crossed_side)) == {side, main}
    monorepo.git("checkout", "-q", "--orphan", "alone")
    assert monorepo.repo.merge_bases(monorepo.commit({"d": "1"}), main) == []


def test_a_callers_git_variables_do_not_redirect_it(monorepo, tmp_path, monkeypatch):
    commit = monorepo.commit({"a": "1"})
    other = Monorepo(tmp_path / "other")
    other.commit({"b": "1"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    assert monorepo.repo.rev_parse("main") == commit


def test_a_mirror_follows_its_source_and_drops_deleted_branches(monorepo, tmp_path):
    monorepo.commit({"a": "1"})
    monorepo.git("branch", "old")
    copy = mirror(str(monorepo.path), tmp_path / "mirrors" / "acme")
    second = monorepo.commit({"a": "2"})
    monorepo.git("branch", "-D", "old")
    assert mirror(str(monorepo.path), tmp_path / "mirrors" / "acme") == copy
    assert copy.rev_parse("main") == second
    with pytest.raises(UsageError):
        copy.rev_parse("old")


def test_a_mirror_follows_a_rewritten_branch(monorepo, tmp_path):
    monorepo.commit({"a": "1"})
    monorepo.commit({"a": "2"})
    copy = mirror(str(monorepo.path), tmp_path / "copy")
    monorepo.git("reset", "-q", "--hard", "HEAD~1")
    rewritten = monorepo.commit({"a": "3"})
    assert mirror(str(monorepo.path), tmp_path / "copy").rev_parse("main") == rewritten
    assert copy.read(rewritten, "a") == b"3"


def test_processes_that_mirror_at_once_all_get_a_whole_mirror(monorepo, tmp_path):
    commit = monorepo.commit({f"f{number}": "x" for number in range(50)})
    script = (
        "import sys; from pathlib import Path; from daybreak.git.mirrors import mirror;"
        "print(mirror(sys.argv[1], Path(sys.argv[2])).rev_parse('main'))"
    )
    command = (sys.executable, "-c", script, str(monorepo.path), str(tmp_path / "copy"))
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in processes] == [commit] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.lock", "repo"]


def test_a_mirror_keeps_no_password_in_any_of_its_files(monorepo, tmp_path):
    commit = monorepo.commit({"a": "1"})
    url, folder = f"file://bot:s3cret@localhost{monorepo.path}", tmp_path / "copy"

    def showing() -> list[str]:
        return [each.name for each in folder.rglob("*") if each.is_file() and b"s3cret" in each.read_bytes()]

    mirror(url, folder)
    assert showing() == []
    # One that an older version made, the next time.
    monorepo.git("-C", str(folder), "remote", "add", "--mirror=fetch", "origin", url)
    assert showing() == ["config"]
    assert mirror(url, folder).rev_parse("main") == commit
    assert showing() == []


def test_a_mirror_of_nothing_fails_without_showing_the_password(tmp_path):
    with pytest.raises(GitError) as caught:
        mirror("http://bot:s3cret@127.0.0.1:9/acme.git", tmp_path / "copy")
    assert "s3cret" not in str(caught.value)
    assert "git clone failed" in str(caught.value)
    assert not (tmp_path / "copy").exists()
