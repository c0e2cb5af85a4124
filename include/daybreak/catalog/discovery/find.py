"""Which folders are components, and of what type: from the manifests that lie in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from daybreak.catalog.discovery import globs
from daybreak.catalog.discovery import tree as trees
from daybreak.catalog.discovery.component import Component, Found
from daybreak.catalog.discovery.facts import STRONG, Facts, normalised
from daybreak.catalog.discovery.tree import Tree, join, parent, relative, within
from daybreak.catalog.resource import ResourceType
from daybreak.errors import CatalogError

_PYTHON = ("pyproject", "setupcfg", "setuppy")
_WORKSPACES = ("workspace", "lerna")
_MIGRATION = re.compile(r"(?:\d+|[VRU]\d[\w.]*?_)[\w.-]*\.sql", re.IGNORECASE)
_MIGRATION_FOLDERS = frozenset({"migrations", "migration", "versions", "sql", "flyway", "schema_migrations"})

#: Names that say that a file is a stack template; what is wrong in one is an error.
_TEMPLATE = re.compile(r"(?:template\.(?:ya?ml|json)|.+\.template(?:\.ya?ml|\.json)?|.+\.cfn\.ya?ml)")

#: Folders that hold no component of their own, wherever they lie.
_NEVER = frozenset({"node_modules", "site-packages", "fixtures", "__fixtures__", "testdata", "test_data"})


class Finder:
    """Looks at the manifests of one commit.

    :param facts: of every manifest, by path.
    """

    def __init__(self, tree: Tree, facts: Mapping[str, Facts]) -> None:
        self._tree, self._facts = tree, facts
        self._folders: dict[str, dict[str, list[str]]] = {}
        for path in facts:
            kind = _kind(path)
            self._folders.setdefault(parent(path), {}).setdefault(kind, []).append(path)
        self.found = Found({})
        self._members, self._node_roots = self._workspaces()

    def find(self) -> Found:
        """All components.

        :raises CatalogError: for a manifest that cannot be read, with its line.
        """
        for folder in sorted(self._folders, key=lambda each: (each.count("/"), each != ".", each)):
            self._manifests(folder, self._folders[folder])
        for folder in sorted(self._folders):
            self._images(folder, self._folders[folder].get("docker", []))
        for folder in sorted(self._folders):
            self._templates(folder, self._folders[folder].get("template", []))
        self._migrations()
        top = self.found.components.get(".")
        if top and len(self.found.components) > 1 and not (top.distributions or top.said):
            # Tools of the whole monorepo; what lies beside them is nobody's, and said to be so.
            del self.found.components["."]
        for root in self.found.components:
            above = self.found.owner(parent(root)) if root != "." else None
            if above is not None:
                self.found.components[above].nested.append(root)
        return self.found

    def facts(self, path: str) -> Facts:
        """Facts of a manifest that counts; raises :class:`CatalogError` when it is malformed."""
        found = self._facts[path]
        if "error" in found:
            line, message = found["error"]
            raise CatalogError(f"{path}:{line}: {message}")
        if "big" in found:
            raise CatalogError(f"{path}:1: {found['big']:,} bytes are too much for a manifest")
        return found

    def _workspaces(self) -> tuple[set[str], list[str]]:
        members: set[str] = set()
        node_roots: list[str] = []
        for path, facts in self._facts.items():
            if "workspace" not in facts and _kind(path) in _WORKSPACES and facts.keys() & {"error", "big"}:
                self._lost_workspace(path)
            said = facts.get("workspace")
            if said is None:
                continue
            root, python = parent(path), path.endswith("pyproject.toml")
            wanted, unwanted = said if python else (said, [])
            if not python:
                node_roots.append(root)
            for folder in self._folders:
                if within(folder, root) and folder != root:
                    seen = relative(folder, root)
                    if globs.selects(seen, wanted) and not globs.selects(seen, unwanted):
                        members.add(folder)
        return members, node_roots

    def _lost_workspace(self, path: str) -> None:
        """Without its list of members some packages would not be seen: at the root that is an error."""
        if parent(path) == ".":
            self.facts(path)
        self.found.notes.append((path, "cannot be read: its packages count as if there were no workspace"))

    def _manifests(self, folder: str, kinds: Mapping[str, list[str]]) -> None:
        python = {kind: kinds[kind][0] for kind in _PYTHON if kind in kinds}
        node, own = (next(iter(kinds.get(kind, ())), None) for kind in ("node", "daybreak"))
        own = own if own and self.facts(own)["daybreak"] is not None else None
        member = folder in self._members
        if not (python or node or own) or (not own and not member and self._is_material(folder)):
            return
        manifests = {
            kind: path
            for kind, path in python.items()
            if self.facts(path).get("component") or (member and kind == "pyproject")
        }
        if node and self._is_package(folder, node, member=member):
            manifests["node"] = node
        if own:
            manifests["daybreak"] = own
        if not manifests:
            return
        if python and any(kind in manifests for kind in _PYTHON):
            # `setup.cfg` beside a `pyproject.toml` with the name says the rest.
            manifests |= {kind: path for kind, path in python.items() if "error" not in self._facts[path]}
        self.found.components[folder] = self._component(folder, manifests)

    def _component(self, folder: str, manifests: dict[str, str]) -> Component:
        component = Component(folder, manifests=manifests)
        for kind in (*_PYTHON, "node", "daybreak"):
            if kind not in manifests:
                continue
            facts = self.facts(manifests[kind])
            if kind == "node":
                component.node_name = facts["name"]
            elif kind != "daybreak" and facts.get("name"):
                component.distributions.add(normalised(facts["name"]))
            component.build = component.build or (kind in _PYTHON and facts.get("build", kind != "setupcfg"))
            if facts.get("daybreak") is not None:
                component.said = facts["daybreak"]
                component.said_where = f"{manifests[kind]}:{facts['daybreak_line']}"
        return component

    def _is_package(self, folder: str, path: str, *, member: bool) -> bool:
        """A named package; below a workspace's root only a member, and the root itself is none."""
        facts = self.facts(path)
        if folder in self._node_roots:
            return False
        if any(within(folder, root) for root in self._node_roots):
            return member
        return facts["name"] is not None

    def _is_material(self, folder: str) -> bool:
        parts = folder.split("/")
        if not _NEVER.isdisjoint(parts) or any("{{" in part for part in parts):
            return True
        above = self.found.owner(parent(folder)) if folder != "." else None
        return above is not None and trees.is_material(folder, above)

    def _images(self, folder: str, paths: list[str]) -> None:
        paths = [path for path in paths if "error" not in self._facts[path]]
        owner = self.found.owner(folder)
        plain = [path for path in paths if path.rpartition("/")[2] in {"Dockerfile", "Containerfile"}]
        if plain and owner == folder:
            component = self.found.components[folder]
            component.type = ResourceType.SERVICE
        elif plain and owner in {None, "."} and folder != "." and not self._is_material(folder):
            component = Component(folder, ResourceType.SERVICE)
            self.found.components[folder] = component
        else:
            return
        component.manifests["docker"] = plain[0]
        if command := self._facts[plain[0]].get("command"):
            component.options["command"] = command

    def _templates(self, folder: str, paths: list[str]) -> None:
        if self._is_material(folder):
            return
        for path in paths:
            if "error" in self._facts[path] and _TEMPLATE.fullmatch(path.rpartition("/")[2]) is None:
                # It only looks like one: somebody's template of a template.
                line, message = self._facts[path]["error"]
                self.found.notes.append((f"{path}:{line}", f"is not read as a stack template: {message}"))
        found = [path for path in paths if self._is_template(path)]
        if not found:
            return
        owner = self.found.owner(folder)
        if owner in {None, "."} and folder != ".":
            component = Component(folder, ResourceType.INFRA)
            component.manifests["template"] = found[0]
            named = [path for path in found if path.rpartition("/")[2].startswith("template.")]
            if len(found) == 1 or len(named) == 1:
                component.options["template"] = (named or found)[0].rpartition("/")[2]
            self.found.components[folder] = component
        for path in found:
            for logical, _, code, handler in self._facts[path]["functions"]:
                self._function(folder, code, logical, handler)

    def _is_template(self, path: str) -> bool:
        named = _TEMPLATE.fullmatch(path.rpartition("/")[2]) is not None
        return bool((self.facts(path) if named else self._facts[path]).get("template"))

    def _function(self, folder: str, code: str, logical: str, handler: str | None) -> None:
        root = join(folder, code)
        if root is None or not self._tree.is_folder(root):
            return
        owner = self.found.owner(root)
        if owner == root:
            component = self.found.components[root]
            if component.type is not ResourceType.PACKAGE:
                return
            component.type = ResourceType.LAMBDA
        elif owner is not None and owner != folder and owner != ".":
            return
        else:
            component = self.found.components[root] = Component(root, ResourceType.LAMBDA)
        component.options |= {"logical_id": logical} | ({"handler": handler} if handler else {})

    def _migrations(self) -> None:
        for folder, script in sorted(self._migration_folders()):
            owner = self.found.owner(folder)
            if owner == folder or self._is_material(folder):
                continue
            above = parent(folder)
            root = above if owner is None and above != "." else folder
            if root in self.found.components:
                continue
            component = self.found.components[root] = Component(root, ResourceType.DATABASE)
            component.options["migrations"] = relative(folder, root) if root != folder else "."
            component.manifests["migrations"] = script
            if owner is not None and owner != ".":
                self.found.components[owner].depend(root, STRONG, f"{script}:1")

    def _migration_folders(self) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        for path in self._tree.paths:
            if path.endswith(".sql") and _MIGRATION.fullmatch(path.rpartition("/")[2]):
                folder = parent(path)
                if folder not in seen and folder.rpartition("/")[2].lower() in _MIGRATION_FOLDERS:
                    seen.add(folder)
                    yield folder, path
        for path, facts in self._facts.items():
            scripts = join(parent(path), facts["scripts"]) if facts.get("scripts") else None
            if scripts is not None and scripts not in seen and f"{scripts}/env.py" in self._tree:
                seen.add(scripts)
                yield scripts, path


def _kind(path: str) -> str:
    from daybreak.catalog.discovery.facts import kind

    return kind(path.rpartition("/")[2]) or ""
