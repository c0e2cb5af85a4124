"""Edges that manifests declare: distributions by name, paths, requirements files, stacks, shared locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from daybreak.catalog.discovery.component import Component, Found, pattern
from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts
from daybreak.catalog.discovery.facts import kind as kind_of
from daybreak.catalog.discovery.reader import Reader
from daybreak.catalog.discovery.tree import is_material, join, parent, relative, within
from daybreak.catalog.graph import LockUse
from daybreak.catalog.resource import ResourceType

_PYTHON = ("pyproject", "setupcfg", "setuppy")
NODE_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")


class Manifests:
    """Reads the edges of all components of one commit.

    :param facts: of every manifest, by path.
    """

    def __init__(self, found: Found, facts: Mapping[str, Facts], reader: Reader) -> None:
        self._found, self._facts, self._reader, self._tree = found, facts, reader, reader.tree
        self._distributions: dict[str, list[str]] = {}
        self._packages: dict[str, list[str]] = {}
        self._lists_by_owner: dict[str, list[str]] = {}
        for root, component in found.components.items():
            for name in component.distributions:
                self._distributions.setdefault(name, []).append(root)
            if component.node_name:
                self._packages.setdefault(component.node_name, []).append(root)

    def read(self) -> None:
        """Add what the manifests say to every component."""
        lists = self._requirements_files()
        for path in lists:
            if (owner := self._found.owner(parent(path))) is not None:
                self._lists_by_owner.setdefault(owner, []).append(path)
        included = self._included(lists)
        self._found.lists = sorted({*self._found.lists, *included})
        lists |= included
        for component in self._found.components.values():
            for kind in _PYTHON:
                if kind in component.manifests:
                    self._python(component, component.manifests[kind], self._facts[component.manifests[kind]])
            for path, strength in self._used(component, lists):
                self._list(component, path, lists, strength, set())
            if "node" in component.manifests:
                self._node(component, component.manifests["node"])
            self._locks(component)
        self._stacks()

    def _python(self, component: Component, path: str, facts: Facts) -> None:
        for line, what in facts.get("unsure", ()):
            component.doubt(f"{path}:{line}", what)
        for name, line, strength in facts.get("requires", ()):
            self._distribution(component, name, f"{path}:{line}", strength)
        for said, line, strength in facts.get("paths", ()):
            self._path(component, parent(path), said, f"{path}:{line}", strength)
        if facts.get("dynamic") and not facts["files"] and "setuppy" not in component.manifests:
            component.doubt(
                f"{path}:{facts['dynamic']}", "dependencies are dynamic, and no file is named for them"
            )

    def _distribution(self, component: Component, name: str, where: str, strength: int) -> None:
        if name not in self._distributions:
            component.third.add(name)
        for root in self._distributions.get(name, ()):
            component.depend(root, strength, where, wheel=True)

    def _path(
        self, component: Component, folder: str, said: str, where: str, strength: int, *, wheel: bool = True
    ) -> None:
        path = join(folder, said)
        if path is None:
            self._found.notes.append((where, f"{said} is outside the monorepo"))
            return
        if within(path, component.root) and self._found.owner(path) == component.root:
            return
        owner = self._found.owner(path)
        if owner is not None and owner != "." and owner != component.root:
            component.depend(owner, strength, where, wheel=wheel)
        elif path != "." and (path in self._tree or self._tree.is_folder(path)):
            component.use(pattern(path))
        elif path not in self._tree and not self._tree.is_folder(path):
            self._found.notes.append((where, f"{said} does not exist at this commit"))

    def _requirements_files(self) -> dict[str, Facts]:
        """Facts of all requirements files."""
        lists = {path: facts for path, facts in self._facts.items() if _is_list(path)}
        # A manifest may name a list that is not called one.
        named = {path for each in self._found.components.values() for path in self._named(each)}
        self._found.lists = sorted(named - lists.keys())
        return lists | self._reader.read(("requirements", path) for path in self._found.lists)

    def _included(self, lists: Mapping[str, Facts]) -> dict[str, Facts]:
        """Facts of what requirements files include, by whatever name, and of what that includes."""
        found: dict[str, Facts] = {}
        front = dict(lists)
        while front:
            wanted = {
                other
                for path, facts in front.items()
                for file in facts.get("files", ())
                if (other := join(parent(path), file)) is not None and other in self._tree
            }
            front = self._reader.read(
                ("requirements", path) for path in sorted(wanted - lists.keys() - found.keys())
            )
            found |= front
        return found

    def _named(self, component: Component) -> Iterator[str]:
        """Requirements files that a component's manifests name."""
        for kind in _PYTHON:
            manifest = component.manifests.get(kind, "")
            for file in self._facts[manifest].get("files", ()) if manifest else ():
                path = join(parent(manifest), file)
                if path is not None and path in self._tree:
                    yield path

    def _used(self, component: Component, lists: Mapping[str, Facts]) -> Iterator[tuple[str, int]]:
        """Requirements files of a component; that of development may close a circle."""
        named = [path for path in self._named(component) if path in lists]
        yield from ((path, STRONG) for path in named)
        for path in self._lists_by_owner.get(component.root, ()):
            if path not in named and not is_material(parent(path), component.root):
                plain = relative(path, component.root) in {"requirements.txt", "requirements.in"}
                yield path, STRONG if plain else WEAK

    def _list(
        self, component: Component, path: str, lists: Mapping[str, Facts], strength: int, seen: set[str]
    ) -> None:
        if path in seen:
            return
        seen.add(path)
        facts = lists[path]
        if "error" in facts or "big" in facts:
            component.doubt(path, "the requirements cannot be read")
            return
        if not within(path, component.root):
            component.use(pattern(path))
        for name, line, _ in facts["requires"]:
            self._distribution(component, name, f"{path}:{line}", strength)
        for said, line, _ in facts["paths"]:
            self._path(component, parent(path), said, f"{path}:{line}", strength)
        for file in facts["files"]:
            other = join(parent(path), file)
            if other is not None and other in lists:
                self._list(component, other, lists, strength, seen)
            elif other is not None and other in self._tree:
                component.use(pattern(other))

    def _node(self, component: Component, path: str) -> None:
        facts = self._facts[path]
        for name, line, strength in facts["requires"]:
            if name not in self._packages:
                component.third.add(name)
            for root in self._packages.get(name, ()):
                component.depend(root, strength, f"{path}:{line}")
        for said, line, strength in facts["paths"]:
            self._path(component, component.root, said, f"{path}:{line}", strength, wheel=False)
        if "catalog" in facts:
            self._versions(component)

    def _versions(self, component: Component) -> None:
        """Versions that stand where the workspace is: for pnpm, for Yarn, for Bun."""
        folder, found = component.root, False
        while folder != "." and not found:
            folder = parent(folder)
            prefix = "" if folder == "." else f"{folder}/"
            for path in (f"{prefix}pnpm-workspace.yaml", f"{prefix}.yarnrc.yml"):
                if path in self._tree:
                    found = True
                    component.use(pattern(path))
            if not found and "workspace" in self._facts.get(f"{prefix}package.json", {}):
                found = True
                component.use(pattern(f"{prefix}package.json"))

    def _locks(self, component: Component) -> None:
        """Shared locks above a component; one in its own folder is a file of it like any other."""
        folder = component.root
        python = bool(component.distributions)
        while folder != ".":
            folder = parent(folder)
            prefix = "" if folder == "." else f"{folder}/"
            if python and f"{prefix}uv.lock" in self._tree:
                component.locks.append(LockUse(f"{prefix}uv.lock", tuple(sorted(component.distributions))))
                python = False
            if python and component.third and f"{prefix}poetry.lock" in self._tree:
                component.locks.append(LockUse(f"{prefix}poetry.lock", tuple(sorted(component.third))))
                python = False
            node = [f"{prefix}{name}" for name in NODE_LOCKS if f"{prefix}{name}" in self._tree]
            if "node" in component.manifests and node:
                roots = tuple(sorted(component.third)) or (component.node_name or "",)
                component.locks += [LockUse(path, roots) for path in node]
                break

    def _stacks(self) -> None:
        """Functions need their stack first; a stack needs what else it packages from the local disk."""
        for path, facts in self._facts.items():
            if not facts.get("template") or (owner := self._found.owner(parent(path))) is None:
                continue
            stack = self._found.components[owner]
            for _, line, code, _ in facts["functions"]:
                root = join(parent(path), code)
                target = self._found.owner(root) if root else None
                if target == owner or target in {None, "."}:
                    self._path(stack, parent(path), code, f"{path}:{line}", STRONG)
                elif stack.type is ResourceType.INFRA and target is not None:
                    self._found.components[target].depend(owner, STRONG, f"{path}:{line}")
                elif target is not None:
                    stack.depend(target, STRONG, f"{path}:{line}")
            for said, line in facts["paths"]:
                self._path(stack, parent(path), said, f"{path}:{line}", STRONG)


def _is_list(path: str) -> bool:
    return kind_of(path.rpartition("/")[2]) == "requirements"
