"""Running git: arguments in, bytes out, in an environment of our own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from daybreak.errors import DaybreakError, UsageError

#: Variables by which a caller's git (a hook, a rebase) would point ours at another repository or index.
_FOREIGN = frozenset(
    f"GIT_{name}"
    for name in ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES",
                 "COMMON_DIR", "NAMESPACE", "PREFIX", "EXTERNAL_DIFF")
)  # fmt: skip

#: Answers git with what stands in its environment: a helper's text is an argument of a shell's.
_HELPER = (
    '!f() { if test "$1" = get; then printf "username=%s\\npassword=%s\\n" '
    '"$DAYBREAK_GIT_USERNAME" "$DAYBREAK_GIT_PASSWORD"; fi; }; f'
)

#: A host, or none, with or without a port; nothing of it is a password.
_HOST = r"(?:\[[^][\s]*\]|[^][@:/\s]*)(?::\d*)?"

#: User and password before a host, up to the last `@` where it is not clear which one ends them.
_LOGIN = rf"""(?:[^:@/\s'"]+@(?={_HOST}(?:[/?#\s'"]|$))|(?!{_HOST}(?:[/?#\s'"]|$))\S*@)"""


class GitError(DaybreakError):
    """Git failed for a reason that is not the caller's mistake."""

    code = "git"


def run_git(
    arguments: Sequence[str | bytes | Path],
    *,
    at: Path | None = None,
    ok: tuple[int, ...] = (0,),
    timeout: float | None = None,
    given: bytes = b"",
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git and wait for its end.

    :param at: the repository.
    :param ok: the exit codes that are an answer; any other one is an error.
    :param timeout: seconds, for what talks to a remote.
    :param given: on its standard input.
    :param extra: variables beside those of :func:`environment`.
    :raises GitError: with what git said, any password taken out.
    :raises UsageError: when there is no git.
    """
    # Automatic gc would delete objects that a running export still reads.
    settings = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
    place = ("-C", at) if at else ()
    try:
        done = subprocess.run(
            ("git", *settings, *place, *arguments),
            capture_output=True,
            input=given or None,
            stdin=None if given else subprocess.DEVNULL,
            env=environment(extra),
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed, or not on PATH") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {timeout:.0f} s; is the remote reachable?") from None
    if done.returncode not in ok:
        reason = text(done.stderr).strip() or f"exit code {done.returncode}"
        raise GitError(redacted(f"git {arguments[0]!s} failed: {reason}"))
    return done


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without what would point git elsewhere: English, no prompt, neither locks nor replacements."""
    found = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # English messages, no password prompt, and neither a lock nor a replaced object in what is only read.
    found.update(
        LC_ALL="C.UTF-8", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_NO_REPLACE_OBJECTS="1",
        GIT_LITERAL_PATHSPECS="1",
    )  # fmt: skip
    return {**found, **(extra or {})}


def address(url: str) -> tuple[str, dict[str, str]]:
    """A remote's URL without user and password, and the variables by which git knows them all the same.

    Everybody on a machine sees arguments, and git hands the URL on as one to its own children, also what
    `insteadOf` made of it. A credential helper is asked by scheme and host, so another host to which the
    remote redirects gets nothing; a header of `http.extraHeader` would follow there (gitcredentials(7)).

    :raises UsageError: when it is not clear where the password ends, and for control characters in user or
        password, which no helper can pass on.
    """
    found = re.match(r"(https?://)([^/]*)(.*)", url, re.IGNORECASE | re.DOTALL)
    if found is None:
        return url, {}
    scheme, authority, path = found.groups()
    login, at, host = authority.rpartition("@")
    user, colon, password = login.partition(":")
    plain = re.fullmatch(_HOST, host) is not None
    if (at and not (host and plain)) or ("@" in path and (colon or not plain)):
        # It is told without the URL: any part of it may be the secret.
        raise UsageError(
            "a remote's URL has a `/`, `@` or `:` where user and password should end: percent-encode these "
            "in them, and in the path after a password (`/` is %2F, `@` is %40, `:` is %3A)"
        )
    if not at:
        return url, {}
    user, about = unquote(user), f"credential.{scheme}{host}"
    given = {"DAYBREAK_GIT_USERNAME": user}
    if not colon:
        # The password is with a helper of this machine's.
        settings = [(f"{about}.username", user)]
    else:
        given["DAYBREAK_GIT_PASSWORD"] = unquote(password)
        # The empty one ends the list so far: a helper that stores would write down what worked.
        settings = [(f"{about}.helper", ""), (f"{about}.helper", _HELPER)]
    if any(ord(each) < 32 for value in given.values() for each in value):
        raise UsageError(f"user or password in the URL of {scheme}{host} has a control character")
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    for number, (name, value) in enumerate(settings, count):
        given |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return scheme + host + path, {**given, "GIT_CONFIG_COUNT": str(count + len(settings))}


def text(output: bytes) -> str:
    """What git wrote, for people."""
    return output.decode(errors="replace")


def without_password(url: str) -> str:
    """A remote's URL as it may be shown and kept."""
    return re.sub(rf"(https?://){_LOGIN}", r"\1", url, flags=re.IGNORECASE)


def redacted(said: str) -> str:
    """A message of git's without any password of a URL."""
    return re.sub(rf"(://){_LOGIN}", r"\1***@", said)
