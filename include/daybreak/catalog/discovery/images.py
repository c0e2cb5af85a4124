"""Edges from Dockerfiles: what an image copies, also from outside its own folder.

A Dockerfile does not say what its build context is. It is looked for: a Compose file names it, or the sources
that it copies exist below just one folder. What stays open counts as the whole monorepo, and is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daybreak.catalog.discovery import globs
from daybreak.catalog.discovery.component import Component, Found, pattern
from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts, kind
from daybreak.catalog.discovery.tree import Tree, join, parent, within


class Images:
    """Reads the Dockerfiles of one commit."""

    def __init__(self, found: Found, facts: Mapping[str, Facts], tree: Tree) -> None:
        self._found, self._facts, self._tree = found, facts, tree
        self._contexts: dict[str, set[str]] = {}
        for path, each in facts.items():
            for context, dockerfile, _ in each.get("builds", ()):
                folder = join(parent(path), context)
                file = join(folder, dockerfile) if folder else None
                if folder is not None and file is not None:
                    self._contexts.setdefault(file, set()).add(folder)

    def read(self) -> None:
        """Add what each image takes to the component that its Dockerfile belongs to."""
        for path, facts in sorted(self._facts.items()):
            owner = self._found.owner(parent(path))
            if owner is None:
                continue
            if "copies" in facts:
                self._image(self._found.components[owner], path, facts)
            elif facts.keys() & {"error", "big"} and kind(path.rpartition("/")[2]) == "docker":
                what = "the Dockerfile cannot be read"
                self._found.components[owner].doubt(path, what, kind="image")

    def _image(self, component: Component, path: str, facts: Facts) -> None:
        contexts = self._known(component, path, facts["copies"])
        for line, what in facts["unsure"]:
            component.doubt(f"{path}:{line}", what, [self._whole(contexts)], kind="image")
        for source, line in facts["copies"]:
            said = source.strip("/").removeprefix("./") or "."
            if said == ".":
                self._everything(component, path, line, contexts)
                continue
            for context in contexts or self._candidates(path):
                self._source(component, context, said, f"{path}:{line}")

    def _known(self, component: Component, path: str, copies: Sequence[tuple[str, int]]) -> list[str]:
        """The context, or several; none when nothing tells."""
        if isinstance(said := component.said.get("docker_context"), str):
            return [said.strip("/") or "."]
        if path in self._contexts:
            return sorted(self._contexts[path])
        fitting = set(self._candidates(path))
        told = False
        for source, _ in copies:
            said = source.strip("/").removeprefix("./") or "."
            here = {context for context in fitting if said != "." and self._matches(context, said)}
            # What exists nowhere is made before the image is built, and tells nothing.
            if here:
                told, fitting = True, here
        return sorted(fitting) if told and len(fitting) == 1 else []

    def _candidates(self, path: str) -> list[str]:
        """The Dockerfile's folder and all above it."""
        folder = parent(path)
        found = [folder]
        while folder != ".":
            folder = parent(folder)
            found.append(folder)
        return found

    def _everything(self, component: Component, path: str, line: int, contexts: Sequence[str]) -> None:
        if not contexts:
            if self._candidates(path) == ["."]:
                contexts = ["."]
            else:
                what = "copies its whole context, and nothing says which folder that is"
                component.doubt(f"{path}:{line}", what, kind="image")
                return
        for context in contexts:
            if within(context, component.root):
                self._nested(component, context, f"{path}:{line}")
                continue
            named = "the monorepo" if context == "." else context
            ignored = self._ignored(path, context)
            # Its own folder last: what the image leaves out of it still is the component's.
            whole = [pattern(context), *ignored, pattern(component.root)] if ignored else [pattern(context)]
            component.doubt(f"{path}:{line}", f"copies its whole context, {named}", whole, kind="context")

    def _ignored(self, path: str, context: str) -> list[str]:
        """What ``.dockerignore`` keeps from the context, as patterns of a resource."""
        prefix = "" if context == "." else f"{context}/"
        for ignore in (f"{path}.dockerignore", f"{prefix}.dockerignore"):
            if ignore in self._facts:
                said = self._facts[ignore].get("patterns", [])
                base = "" if context == "." else pattern(context)
                return [f"{base}{each[1:]}" if each.startswith("!") else f"!{base}{each}" for each in said]
        return []

    def _whole(self, contexts: Sequence[str]) -> str:
        return pattern(contexts[0]) if len(contexts) == 1 else "."

    def _matches(self, context: str, said: str) -> list[str]:
        """Paths of the tree that a source means; a glob may mean several."""
        if not any(letter in said for letter in "*?["):
            path = join(context, said)
            exists = path is not None and (path in self._tree or self._tree.is_folder(path))
            return [path] if exists and path is not None else []
        folder, _, name = said.rpartition("/")
        if any(letter in folder for letter in "*?["):
            base = join(context, folder[: min(folder.find(letter) for letter in "*?[" if letter in folder)])
            return [base] if base is not None and self._tree.is_folder(base) else []
        place = join(context, folder or ".")
        if place is None or not self._tree.is_folder(place):
            return []
        expression = globs.compiled(name)
        prefix = "" if place == "." else f"{place}/"
        return [f"{prefix}{child}" for child, _ in self._tree.children(place) if expression.fullmatch(child)]

    def _source(self, component: Component, context: str, said: str, where: str) -> None:
        for path in self._matches(context, said):
            if within(path, component.root):
                self._nested(component, path, where)
                continue
            component.use(pattern(path))
            for root in self._found.inside(path):
                component.depend(root, STRONG if root == path else WEAK, where)
            # Code of another component needs what that one needs; a single file of it does not.
            owner = self._found.owner(path)
            if owner not in {None, "."} and path not in self._tree:
                component.depend(owner or "", WEAK, where)

    def _nested(self, component: Component, path: str, where: str) -> None:
        """Components within what is copied of the component's own folder: the image has them, too."""
        for root in self._found.inside(path):
            if root != component.root:
                component.use(pattern(root))
                component.depend(root, WEAK, where)
