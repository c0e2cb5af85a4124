"""Moving references of a remote, all or none, and only from where they were read.

``--force-with-lease=<ref>:<old>`` compares on the client and again, by the old id in the update itself, in
the remote's receive-pack, which locks each reference: so it is compare-and-set. A fast-forward-only update is
not: after somebody reset main it would bring the removed commits back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.errors import DaybreakError
from daybreak.git.command import GitError, address, redacted, run_git, text
from daybreak.git.repository import Repository

#: Seconds for one exchange with the remote.
TIMEOUT = 120.0
#: How a reason begins that says no for sure: from our git, and from the remote's.
_ANSWERS = ("[rejected]", "[remote rejected]")
#: What git says of a server that forbids pushes when it is asked for its references, before anything is sent.
#: A push that is under way and meets the same is told in other words (`RPC failed`).
_FORBIDDEN = re.compile(r"unable to access .*The requested URL returned error: 403")


@dataclass(frozen=True)
class Update:
    """One reference to move.

    :param ref: in full, ``refs/heads/main``.
    :param new: the commit that it is to name; ``None`` deletes it.
    :param old: what it must name now; ``None``: it must not be there.
    """

    ref: str
    new: str | None
    old: str | None


class PushRefused(DaybreakError):
    """A clear no: nothing was moved. A reference was elsewhere, or is protected, or we may only read; the
    remote's word tells.
    """

    code = "push_refused"


class PushUnclear(GitError):
    """No clear answer: it was carried out, or it was not, or it will be in a moment. Read before deciding."""

    code = "push_unclear"


def push(repository: Repository, url: str, updates: Sequence[Update]) -> None:
    """Move all the references, or none.

    Success is the remote's own word for each of them. An empty update of a reference that is there already
    counts as success too.

    :raises PushRefused: nothing was moved.
    :raises PushUnclear: nobody knows.
    """
    leases = [f"--force-with-lease={each.ref}:{each.old or ''}" for each in updates]
    specs = [f"{each.new or ''}:{each.ref}" for each in updates]
    where, secret = address(url)
    command = ("push", "--porcelain", "--atomic", "--no-verify", *leases, "--", where, *specs)
    try:
        done = run_git(command, at=repository.path, ok=(0, 1), timeout=TIMEOUT, extra=secret)
    except GitError as error:
        if _FORBIDDEN.search(str(error)):
            raise PushRefused(f"the push was refused: {error}") from error
        raise PushUnclear(f"nobody knows whether the push arrived: {error}") from error
    if done.returncode == 0:
        return
    refused = dict(_refused(text(done.stdout)))
    # `[remote failure]` is a reference of which the remote never said how it went (git-push(1), "OUTPUT").
    if not refused or any(not why.startswith(_ANSWERS) for why in refused.values()):
        said = text(done.stderr).strip()[-500:] or "the remote said nothing"
        raise PushUnclear(redacted(f"nobody knows whether the push arrived: {said}"))
    told = "; ".join(f"{ref}: {why}" for ref, why in refused.items())
    raise PushRefused(redacted(f"the push was refused: {told}"))


def probe(repository: Repository, url: str, commit: str, ref: str) -> None:
    """Ask the remote whether we may push at all; nothing is sent, and nothing moves.

    What the rules of a single branch say, it does not tell before a real push.

    :raises GitError: when we may not.
    """
    where, secret = address(url)
    command = ("push", "--porcelain", "--dry-run", "--force", "--no-verify", "--", where, f"{commit}:{ref}")
    run_git(command, at=repository.path, timeout=TIMEOUT, extra=secret)


def read(url: str, *refs: str) -> dict[str, str]:
    """What references of the remote name now; one that is not there is not in the answer.

    :raises GitError: when the remote cannot be read.
    """
    where, secret = address(url)
    asked = ("ls-remote", "--quiet", "--", where, *refs)
    output = run_git(asked, timeout=TIMEOUT, extra=secret).stdout
    lines = (line.split("\t") for line in text(output).splitlines())
    return {ref: oid for oid, ref in lines if ref in refs}


def fetch(repository: Repository, url: str, *commits: str) -> None:
    """Bring commits of the remote here, by reference or id, without moving any reference of ours.

    :raises GitError: when the remote does not have one of them, or cannot be read.
    """
    where, secret = address(url)
    wanted = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--", where)
    run_git((*wanted, *commits), at=repository.path, timeout=TIMEOUT, extra=secret)


def _refused(porcelain: str) -> Sequence[tuple[str, str]]:
    """Reference and reason of each line that says ``!`` (git-push(1), "OUTPUT")."""
    found = []
    for line in porcelain.splitlines():
        flag, _, rest = line.partition("\t")
        if flag.strip() == "!":
            names, _, why = rest.partition("\t")
            found.append((names.partition(":")[2], why))
    return found
