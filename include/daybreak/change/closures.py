"""The locks of a commit's resources: which closure each has, and whose differs between two commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from daybreak.catalog.graph import Catalog, CatalogResource, LockUse
from daybreak.change.locks import Closure, Lock, LockError, difference, read
from daybreak.change.reasons import Reason, Rule
from daybreak.git.repository import Repository

#: A larger lock is not read; those of monorepos with thousands of packages have a tenth of it.
_LIMIT_BYTES = 64 << 20


class Closures:
    """Closures at one commit; each lock is read once."""

    def __init__(self, repo: Repository, commit: str) -> None:
        self._repo = repo
        self._commit = commit
        self._locks: dict[str, Lock | LockError | None] = {}
        self._closures: dict[LockUse, Closure | None] = {}

    def of(self, use: LockUse) -> Closure | None:
        """What ``use`` means here, ``None`` without the lock; :raises LockError: when it is unreadable."""
        if use not in self._closures:
            lock = self._lock(use.path)
            if isinstance(lock, LockError):
                raise lock
            self._closures[use] = None if lock is None else lock.closure(use.roots)
        return self._closures[use]

    def digests(self, resource: CatalogResource) -> dict[str, str | None]:
        """For a content key: what each lock of ``resource`` gives it; of an unreadable one, its bytes."""
        found: dict[str, str | None] = {}
        for use in resource.locks:
            try:
                closure = self.of(use)
                found[f"{use.path} {use.roots}"] = closure.digest if closure else None
            except LockError:
                file = self._repo.file(self._commit, use.path)
                found[f"{use.path} {use.roots}"] = f"unreadable {file[0] if file else None}"
        return found

    def _lock(self, path: str) -> Lock | LockError | None:
        if path not in self._locks:
            try:
                content = self._content(path)
                self._locks[path] = None if content is None else read(path, content, self._content)
            except LockError as error:
                self._locks[path] = error
        return self._locks[path]

    def _content(self, path: str) -> bytes | None:
        file = self._repo.file(self._commit, path)
        if file is None:
            return None
        if file[1] > _LIMIT_BYTES:
            raise LockError(f"{path}: {file[1]:,} bytes are too much for a lock")
        return self._repo.read_blobs([file[0]])[file[0]]


def lock_seeds(
    repo: Repository, base: str, before: Catalog, head: Catalog, changed: Collection[str]
) -> Iterator[tuple[str, Reason]]:
    """The resources whose closures differ, at base or at head, each with what differs.

    A lock that cannot be read may hold anything: all that use it are in.
    """
    uses: dict[LockUse, set[str]] = {}
    for catalog in (before, head):
        for name, resource in catalog.resources.items():
            for use in resource.locks:
                uses.setdefault(use, set()).add(name)
    touched = {use for use in uses if use.path in changed}
    old, new = Closures(repo, base), Closures(repo, head.commit)
    for use in sorted(touched, key=lambda use: (use.path, use.roots)):
        try:
            was, now = old.of(use), new.of(use)
            if was is None or now is None:
                said = "" if was is now else "is new" if was is None else "was deleted"
            else:
                said = "" if was.digest == now.digest else difference(was, now) or "its order of options"
        except LockError as error:
            said = f"cannot be read, so all that use it are selected ({error})"
        if said:
            for name in sorted(uses[use]):
                yield name, Reason(Rule.LOCK, f"{use.path}: {said}", use.path, said)
