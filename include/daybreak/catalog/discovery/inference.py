"""Edges that Python code shows: what each component imports, summed up once for each state of its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daybreak.catalog.discovery.component import TEST_FOLDERS, Component, Found, pattern
from daybreak.catalog.discovery.facts import WEAK, Facts
from daybreak.catalog.discovery.modules import Match, Modules
from daybreak.catalog.discovery.reader import Reader
from daybreak.catalog.discovery.tree import Tree, is_aside, is_test, join, parent, relative, within
from daybreak.catalog.links import resolve
from daybreak.catalog.resource import ResourceType

#: What one folder imports; files are seen from the folder. ``i``: ``[name, file, line, strength]``; ``p``:
#: ``[path, file, line, strength]`` of relative imports that leave it; ``b``: ``[prefix, file, line]`` and
#: ``d``: ``[text, file, line]`` of dynamic ones; ``n``: files that only make a namespace; ``e``:
#: ``[file, line]`` whose syntax is not understood; ``t``: ``[file, bytes]`` too large to be read.
Summary = dict[str, list[Any]]


class Inference:
    """Reads the imports of all components of one commit."""

    def __init__(self, found: Found, modules: Modules, reader: Reader) -> None:
        self._found, self._modules, self._reader, self._tree = found, modules, reader, reader.tree
        #: Code outside all components, by the package or module that it is.
        self._loose: dict[str, Summary | None] = {}
        #: By component: under which key its summary is kept, the summary, and what people are told of it.
        self.keys: dict[str, str] = {}
        self.summaries: dict[str, Summary] = {}
        self.notes: dict[str, list[tuple[str, str]]] = {}
        #: Components for which more counts than the names that their own modules import.
        self.more: set[str] = set()

    def read(self, links: Mapping[str, str]) -> None:
        """Add what the imports say to every component.

        :param links: by the path of a symbolic link, what it says; code behind one is code of who has it.
        """
        wanted = {
            root: list(self._tree.below(root, each.nested)) for root, each in self._found.components.items()
        }
        self.keys = {root: self._key(root, spans) for root, spans in wanted.items()}
        summaries = self._summaries(wanted, self.keys)
        for root, summary in summaries.items():
            self._modules.namespaces.update(namespaces(root, summary))
        self.apply(summaries, links)

    def apply(self, summaries: Mapping[str, Summary], links: Mapping[str, str]) -> None:
        """Add what ``summaries`` and ``links`` say to their components, and to no other."""
        self.summaries |= summaries
        notes = self._found.notes
        for root, summary in summaries.items():
            said = len(notes)
            if summary["p"]:
                self.more.add(root)
            self._component(self._found.components[root], root, summary, {root})
            self.notes[root] = notes[said:]
        for link in links:
            holder = self._found.owner(parent(link))
            if holder is None or holder not in summaries:
                continue
            self.more.add(holder)
            said = len(notes)
            if target := resolve(link, links)[-1:]:
                self._linked(self._found.components[holder], link, target[0])
            self.notes[holder] += notes[said:]

    def _linked(self, component: Component, link: str, target: str) -> None:
        owner = self._found.owner(target)
        if owner == component.root:
            return
        for root in {*self._found.inside(target), owner} - {None}:
            component.depend(root or "", WEAK, f"{link}:1")
        if owner is None and (target in self._tree or self._tree.is_folder(target)):
            component.use(pattern(target))
            self._component(component, target, self._loose_summary(target), {target})

    def _component(self, component: Component, base: str, summary: Summary, seen: set[str]) -> None:
        """Follow the imports of ``base``: the component itself, or loose code that it uses."""
        loose: set[str] = set()
        for name, file, line, strength in summary["i"]:
            for match in self._modules.resolve(name, component.root):
                for path in (match.file, *self._modules.packages_above(match)):
                    self._uses(component, path, match, (base, file, line), strength, loose)
        for path, file, line, strength in summary["p"]:
            for target in self._files(_at(base, path)):
                self._uses(component, target, None, (base, file, line), strength, loose)
        for prefix, file, line in summary["b"]:
            where = f"{_at(base, file)}:{line}"
            for path in self._modules.below(prefix, component.root):
                owner = self._found.owner(path)
                for root in {*self._found.inside(path), owner} - {None}:
                    component.depend(root or "", WEAK, where, wheel=True)
                if owner is None:
                    loose.add(path)
                else:
                    self._borrow(component, owner, path)
        for text, file, line in summary["d"]:
            what = f"imports what only running it tells: {text}"
            component.doubt(f"{_at(base, file)}:{line}", what, kind="dynamic")
        for file, size in summary["t"]:
            component.doubt(_at(base, file), f"{size:,} bytes are too much for a module; it is not read")
        for file, line in summary["e"]:
            where = f"{_at(base, file)}:{line}"
            self._found.notes.append((where, "is not understood here; its import lines are read as text"))
        for group in sorted(loose):
            self.more.add(component.root)
            if group not in seen:
                seen.add(group)
                component.use(pattern(group))
                self._component(component, group, self._loose_summary(group), seen)

    def _uses(
        self, component: Component, file: str, match: Match | None, said: tuple[str, str, int], strength: int,
        loose: set[str],
    ) -> None:  # fmt: skip
        owner = self._found.owner(file)
        if owner == component.root:
            return
        if owner is not None:
            base, where, line = said
            if component.type is ResourceType.DATABASE and within(component.root, owner):
                # Alembic's scripts import the models of whom they lie in, who needs the migrated database.
                strength = WEAK
            component.depend(owner, strength, f"{_at(base, where)}:{line}", wheel=True)
            self._borrow(component, owner, file)
        elif match is not None and match.place.folder != ".":
            rest = relative(file, match.place.folder)
            loose.add(f"{match.place.folder}/{rest.partition('/')[0]}")
        else:
            loose.add(_package(file, self._tree))

    def _borrow(self, component: Component, owner: str, path: str) -> None:
        """Count what lies with the tests of another component as files of who imports it, too.

        A change of tests stops at the component whose tests they are: the edge alone would carry nothing.
        """
        for folder in self._found.components[owner].said.get("test_paths", TEST_FOLDERS):
            tests = join(owner, folder.strip("/"))
            if owner != component.root and tests is not None and within(path, tests):
                component.use(pattern(tests))

    def _files(self, path: str) -> Iterator[str]:
        """The file that a relative import means."""
        for ending in (".py", ".pyi", "/__init__.py"):
            if f"{path}{ending}" in self._tree:
                yield f"{path}{ending}"
                return

    def _loose_summary(self, group: str) -> Summary:
        found = self._loose.get(group)
        if found is None:
            if group in self._tree:
                facts = self._reader.read([("py", group)])
                found = summarise({"": next(iter(facts.values()))} if facts else {}, [])
            else:
                spans = [self._tree.span(group)]
                found = self._summaries({group: spans}, {group: self._key(group, spans)})[group]
            self._loose[group] = found
        return found

    def _summaries(
        self, wanted: dict[str, list[tuple[int, int]]], keys: Mapping[str, str]
    ) -> dict[str, Summary]:
        """By folder; a folder whose files are the same as ever is one look into the cache."""
        known = self._reader.cache.many(list(dict.fromkeys(keys.values())))
        missing = {root: spans for root, spans in wanted.items() if keys[root] not in known}
        files = {
            root: [path for low, high in spans for path in self._tree.paths[low:high] if path.endswith(".py")]
            for root, spans in missing.items()
        }
        facts = self._reader.read(("py", path) for paths in files.values() for path in paths)
        new = {}
        for root, paths in files.items():
            read = {relative(path, root): facts[path] for path in paths if path in facts}
            new[keys[root]] = summarise(read, self.nested(root))
        self._reader.cache.put(new)
        return {root: known[key] if key in known else new[key] for root, key in keys.items()}

    def _key(self, root: str, spans: list[tuple[int, int]]) -> str:
        return f"folder:{self._tree.digest(spans, self.nested(root))}"

    def nested(self, root: str) -> list[str]:
        """The components in a component, seen from it."""
        component = self._found.components.get(root)
        return [relative(each, root) for each in component.nested] if component else []


def namespaces(root: str, summary: Summary) -> set[str]:
    """Files of the component in ``root`` that only make a namespace."""
    return {_at(root, file) for file in summary["n"]}


def tops(summary: Summary) -> set[str]:
    """The first words of all names that are looked for."""
    return {each[0].partition(".")[0] for kind in ("i", "b") for each in summary[kind]}


def summarise(files: dict[str, Facts], nested: Iterable[str]) -> Summary:
    """What the files of one folder import together; of several imports of a name the most certain counts.

    :param files: facts by path, seen from the folder.
    :param nested: folders in it that are components of their own.
    """
    names: dict[str, list[Any]] = {}
    paths: dict[str, list[Any]] = {}
    summary: Summary = {"b": [], "d": [], "n": [], "e": [], "t": []}
    #: Names that are decided already: all modules of a folder import much the same.
    seen: dict[tuple[str, tuple[str, ...]], int] = {}
    for file, facts in files.items():
        if "big" in facts:
            summary["t"].append([file, facts["big"]])
        if facts.get("n"):
            summary["n"].append(file)
        if "e" in facts:
            summary["e"].append([file, facts["e"]])
        weak = is_test(file) or is_aside(file)
        for module, level, wanted, line, strength in facts.get("i", ()):
            strength = WEAK if weak else strength
            said = [file, line, strength]
            if level:
                for path in _relative(file, level, module, wanted, nested):
                    _keep(paths, path, said)
                continue
            key = (module, tuple(wanted))
            if key in seen and seen[key] <= strength:
                continue
            seen[key] = strength
            if not _inside(module, wanted, files):
                for name in {module, *(f"{module}.{each}" for each in wanted if each != "*")}:
                    _keep(names, name, said)
        for line, text, prefix in facts.get("d", ()):
            if prefix is None:
                summary["d"].append([text, file, line])
            elif prefix != ".":
                summary["b"].append([prefix, file, line])
    summary["i"] = [[name, *said] for name, said in names.items()]
    summary["p"] = [[path, *said] for path, said in paths.items()]
    return summary


def _keep(kept: dict[str, list[Any]], name: str, said: list[Any]) -> None:
    if name not in kept or said[2] < kept[name][2]:
        kept[name] = said


def _inside(module: str, wanted: list[str], files: dict[str, Facts]) -> bool:
    """Whether an import is decided by a module file of the same folder: nothing longer can be elsewhere."""
    path = module.replace(".", "/")
    for base in ("", "src/"):
        if f"{base}{path}.py" in files:
            return True
        if f"{base}{path}/__init__.py" in files and all(
            f"{base}{path}/{name}.py" in files or f"{base}{path}/{name}/__init__.py" in files
            for name in wanted
        ):
            return True
    return False


def _relative(file: str, level: int, module: str, wanted: list[str], nested: Iterable[str]) -> Iterator[str]:
    """Paths, without an ending, that a relative import may mean outside the folder's own files."""
    base: str | None = parent(file)
    for _ in range(level - 1):
        base = _up(base or ".")
    target = _joined(base or ".", module.replace(".", "/"))
    for path in (target, *(_joined(target, name) for name in wanted if name != "*")):
        if path.startswith("..") or any(within(path, each) for each in nested):
            yield path


def _up(folder: str) -> str:
    if folder == "." or folder.startswith(".."):
        return ".." if folder == "." else f"../{folder}"
    return parent(folder)


def _joined(base: str, path: str) -> str:
    if not path:
        return base
    return path if base == "." else f"{base}/{path}"


def _at(base: str, file: str) -> str:
    """A file seen from ``base``, as a path of the monorepo."""
    if file == "":
        return base
    return join(base, file) or file


def _package(file: str, tree: Tree) -> str:
    """The outermost package that a module is in, or the module itself."""
    found, folder = file, parent(file)
    while folder != "." and f"{folder}/__init__.py" in tree:
        found, folder = folder, parent(folder)
    return found
