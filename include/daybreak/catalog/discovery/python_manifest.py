"""What Python manifests say: ``pyproject.toml`` (PEP 621, uv, Poetry, PDM), ``setup.cfg``, requirements.

A requirement is ``[name, line, strength]``: ``STRONG`` when the component cannot be installed without it,
``WEAK`` for extras and development. A path is ``[path, line, strength]``, relative to the manifest.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts, Malformed, normalised, text
from daybreak.catalog.discovery.lines import Lines

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*")
_URL_PATH = re.compile(r"@\s*file:(?://)?(?:/?\$\{PROJECT_ROOT\}/|/?\{root:(?:uri|parent:uri)\}/)?([^\s;#]+)")
_AT_LINE = re.compile(r"at line (\d+)")


def requirement(said: str) -> tuple[str | None, str | None]:
    """Normalised name and local path of a PEP 508 requirement, each ``None`` when it has none."""
    found = _NAME.match(said)
    if found is None:
        return None, None
    path = _URL_PATH.search(said, found.end())
    return normalised(found.group(1)), path.group(1) if path else None


def add_requirement(facts: Facts, said: object, line: int, strength: int) -> None:
    """Note one PEP 508 requirement."""
    if not isinstance(said, str):
        return
    name, path = requirement(said)
    if name:
        facts["requires"].append([name, line, strength])
    if path:
        facts["paths"].append([path, line, strength])


def empty() -> Facts:
    """The facts of a Python manifest that says nothing."""
    return {"name": None, "requires": [], "paths": [], "where": [], "modules": [], "files": [], "unsure": []}


def load_toml(content: bytes) -> tuple[dict[str, Any], Lines]:
    """The data of a TOML file and where things stand in it; raises :class:`Malformed`."""
    said = text(content)
    try:
        return tomllib.loads(said), Lines(said)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        raise Malformed(int(at.group(1)) if at else said.count("\n") + 1, f"not TOML: {error}") from None


def pyproject(content: bytes) -> Facts:
    """Facts of a ``pyproject.toml``."""
    data, lines = load_toml(content)
    facts = empty()
    tool = _table(data, "tool")
    _project(_table(data, "project"), lines, facts)
    if "dependencies" in _list(_table(data, "project").get("dynamic")):
        dynamic = _table(tool, "setuptools", "dynamic", "dependencies").get("file", [])
        facts["files"] += [dynamic] if isinstance(dynamic, str) else _list(dynamic)
        if not (_hooks(tool, lines, facts) or _table(tool, "poetry", "dependencies")):
            facts["dynamic"] = lines.of("dynamic", "project")
    _groups(data, tool, lines, facts)
    _uv(_table(tool, "uv"), lines, facts)
    _poetry(_table(tool, "poetry"), lines, facts)
    _layout(tool, facts)
    for said in _list(_table(data, "build-system").get("requires")):
        add_requirement(facts, said, lines.of(str(said), "build-system"), STRONG)
    known = {each[0] for each in facts["paths"]}
    for path in _outside(data):
        facts["paths"] += [[path, lines.of(path), WEAK]] if path not in known else []
    ours = _ours(tool)
    facts["component"] = bool(
        facts["name"] or _table(data, "project") or _table(tool, "poetry") or ours is not None
    )
    facts["build"] = "build-system" in data or bool(facts["name"])
    if ours is not None:
        facts["daybreak"] = ours
        facts["daybreak_line"] = lines.header("tool.daybreak")
    return facts


def _hooks(tool: Mapping[str, Any], lines: Lines, facts: Facts) -> bool:
    """What Hatch's metadata hooks are told of dependencies; whether that is all, and none is computed."""
    told = False
    hooks = _table(tool, "hatch", "metadata", "hooks")
    for name in hooks:
        table = f"tool.hatch.metadata.hooks.{name}"
        extras = _table(hooks, name, "optional-dependencies")
        for said in _list(_table(hooks, name).get("dependencies")):
            told = requirement(str(said))[0] is not None
            if not told:
                return False
            add_requirement(facts, said, lines.of(str(said), table), STRONG)
        for said in (each for group in extras.values() for each in _list(group)):
            add_requirement(facts, said, lines.of(str(said), f"{table}.optional-dependencies"), WEAK)
        facts["files"] += [each for each in _list(_table(hooks, name).get("files")) if isinstance(each, str)]
    return told and "custom" not in hooks


def _ours(tool: Mapping[str, Any]) -> Any:
    """``[tool.daybreak]``, if it is there; what a folder of e2e suites says of itself makes no component."""
    said = tool.get("daybreak")
    if not isinstance(said, dict) or not isinstance(said.get("e2e"), dict):
        return said
    return {key: value for key, value in said.items() if key != "e2e"} or None


def setup_cfg(content: bytes) -> Facts:
    """Facts of a ``setup.cfg``."""
    said, facts = text(content), empty()
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(said)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or (getattr(error, "errors", None) or [(1, "")])[0][0]
        raise Malformed(line, f"not an INI file: {error.message.splitlines()[0]}") from None
    lines = said.splitlines()

    def place(wanted: str) -> int:
        return next((at for at, line in enumerate(lines, 1) if wanted in line), 1)

    facts["name"] = parser.get("metadata", "name", fallback=None)
    facts["component"] = facts["name"] is not None
    groups = [(parser.get("options", "install_requires", fallback=""), STRONG)]
    groups.append((parser.get("options", "setup_requires", fallback=""), STRONG))
    groups.append((parser.get("options", "tests_require", fallback=""), WEAK))
    if parser.has_section("options.extras_require"):
        groups += [(value, WEAK) for _, value in parser.items("options.extras_require")]
    for group, strength in groups:
        if group.strip().startswith("file:"):
            facts["files"] += [each.strip() for each in group.strip()[5:].split(",")]
            continue
        # One line is a list with semicolons, several lines are one requirement each, as setuptools has it.
        for line in group.splitlines() if "\n" in group else group.split(";"):
            if line.strip() and not line.strip().startswith("#"):
                add_requirement(facts, line.strip(), place(line.strip()), strength)
    where = parser.get("options.packages.find", "where", fallback="").strip()
    facts["where"] += [where] if where else []
    folders = parser.get("options", "package_dir", fallback="")
    facts["where"] += [line.partition("=")[2].strip() for line in folders.splitlines() if "=" in line]
    return facts


def requirements(content: bytes) -> Facts:
    """Facts of a requirements file of pip's: names, ``-e ../path``, ``-r other.txt``."""
    facts = empty()
    # A continued line is one: its lines are joined, and as many empty ones keep the count.
    joined = re.sub(r"(?:[^\n]*\\\r?\n)+[^\n]*", _joined, text(content))
    for number, line in enumerate(joined.split("\n"), 1):
        said = re.sub(r"(^|\s)#.*", "", line).strip()
        said = re.sub(r"^(-e|--editable)[\s=]+", "", said)
        option = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)", said)
        if option:
            facts["files"].append(option.group(1))
        elif said.startswith((".", "file:")) or ("/" in said and "://" not in said and "@" not in said):
            path = re.split(r"[\[;\s]", said.removeprefix("file:").removeprefix("//"), maxsplit=1)[0]
            facts["paths"].append([path, number, STRONG])
        elif said and not said.startswith("-") and not re.match(r"[\w+]+://", said):
            add_requirement(facts, said, number, STRONG)
    return facts


def _joined(match: re.Match[str]) -> str:
    said = match.group()
    return re.sub(r"\\\r?\n", " ", said) + "\n" * said.count("\n")


def alembic(content: bytes) -> Facts:
    """Where an ``alembic.ini`` has its scripts."""
    found = re.search(r"^script_location\s*=\s*(.+?)\s*$", text(content), re.MULTILINE)
    return {"scripts": found.group(1).replace("%(here)s/", "") if found else None}


def daybreak(content: bytes) -> Facts:
    """A ``daybreak.toml``: what ``[tool.daybreak]`` would say; ``[monorepo]`` is not a component's."""
    data, _ = load_toml(content)
    data.pop("monorepo", None)
    return {"daybreak": data or None, "daybreak_line": 1}


READERS: Mapping[str, Callable[[bytes], Facts]] = {
    "pyproject": pyproject,
    "setupcfg": setup_cfg,
    "requirements": requirements,
    "alembic": alembic,
    "daybreak": daybreak,
}


def _project(project: Mapping[str, Any], lines: Lines, facts: Facts) -> None:
    name = project.get("name")
    facts["name"] = name if isinstance(name, str) else None
    for said in _list(project.get("dependencies")):
        add_requirement(facts, said, lines.of(str(said), "project"), STRONG)
    extras = project.get("optional-dependencies")
    for group in extras.values() if isinstance(extras, dict) else ():
        for said in _list(group):
            add_requirement(facts, said, lines.of(str(said), "project.optional-dependencies"), WEAK)


def _groups(data: Mapping[str, Any], tool: Mapping[str, Any], lines: Lines, facts: Facts) -> None:
    """Development: PEP 735 groups, and what uv and PDM had before it; Hatch's environments."""
    found: list[tuple[Any, str]] = [
        (group, "dependency-groups") for group in _table(data, "dependency-groups").values()
    ]
    found.append((_table(tool, "uv").get("dev-dependencies"), "tool.uv"))
    found += [
        (group, "tool.pdm.dev-dependencies") for group in _table(tool, "pdm", "dev-dependencies").values()
    ]
    for environment in _table(tool, "hatch", "envs").values():
        if isinstance(environment, dict):
            found += [
                (environment.get(key), "tool.hatch.envs") for key in ("dependencies", "extra-dependencies")
            ]
    for group, header in found:
        for said in _list(group):
            if not isinstance(said, str):
                continue
            if editable := re.match(r"-e\s+(.+)", said):
                path = _URL_PATH.search(f"@ {editable.group(1)}")
                facts["paths"] += [[path.group(1), lines.of(said, header), WEAK]] if path else []
            else:
                add_requirement(facts, said, lines.of(said, header), WEAK)


def _uv(uv: Mapping[str, Any], lines: Lines, facts: Facts) -> None:
    workspace = uv.get("workspace")
    if isinstance(workspace, dict):
        facts["workspace"] = [_texts(workspace.get("members")), _texts(workspace.get("exclude"))]
    for name, source in _table(uv, "sources").items():
        for one in source if isinstance(source, list) else [source]:
            if isinstance(one, dict) and isinstance(one.get("path"), str):
                strength = min(
                    (each[2] for each in facts["requires"] if each[0] == normalised(name)), default=WEAK
                )
                facts["paths"].append([one["path"], lines.of(name, "tool.uv.sources"), strength])
    if uv.get("package") is False:
        facts["virtual"] = True


def _poetry(poetry: Mapping[str, Any], lines: Lines, facts: Facts) -> None:
    if isinstance(poetry.get("name"), str):
        facts["name"] = facts["name"] or poetry["name"]
    tables = [("tool.poetry.dependencies", poetry.get("dependencies"), STRONG)]
    tables.append(("tool.poetry.dev-dependencies", poetry.get("dev-dependencies"), WEAK))
    for group, content in _table(poetry, "group").items():
        if isinstance(content, dict):
            tables.append((f"tool.poetry.group.{group}.dependencies", content.get("dependencies"), WEAK))
    for header, table, strength in tables:
        for name, said in table.items() if isinstance(table, dict) else ():
            place = lines.of(name, header)
            for one in said if isinstance(said, list) else [said]:
                optional = isinstance(one, dict) and one.get("optional") is True
                facts["requires"].append([normalised(name), place, WEAK if optional else strength])
                if isinstance(one, dict) and isinstance(one.get("path"), str):
                    facts["paths"].append([one["path"], place, WEAK if optional else strength])
    for package in _list(poetry.get("packages")):
        if isinstance(package, dict) and isinstance(package.get("from"), str):
            facts["where"].append(package["from"])


def _layout(tool: Mapping[str, Any], facts: Facts) -> None:
    """Where the build backend finds modules, as far as it is not the usual place."""
    where = _table(tool, "setuptools", "packages", "find").get("where")
    facts["where"] += _texts(where)
    facts["where"] += _texts(list(_table(tool, "setuptools", "package-dir").values()))
    facts["where"] += _texts(_table(tool, "hatch", "build", "targets", "wheel").get("sources"))
    for package in _texts(_table(tool, "hatch", "build", "targets", "wheel").get("packages")):
        facts["where"].append(package.rpartition("/")[0] or ".")
    backend = _table(tool, "uv", "build-backend")
    facts["where"] += _texts([backend.get("module-root")])
    facts["where"] += _texts([_table(tool, "pdm", "build").get("package-dir")])
    facts["where"] += _texts(_table(tool, "pytest", "ini_options").get("pythonpath"))
    facts["where"] += _texts(_table(tool, "pyright").get("extraPaths"))


def _outside(data: Any) -> Iterator[str]:
    """Every text that is a path out of the component's own folder."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key.startswith("../"):
                yield key
            yield from _outside(value)
    elif isinstance(data, list):
        for value in data:
            yield from _outside(value)
    elif isinstance(data, str) and data.startswith("../"):
        yield data


def _table(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        found = data.get(name)
        if not isinstance(found, dict):
            return {}
        data = found
    return data


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(values: object) -> list[str]:
    if isinstance(values, str):
        return [values]
    return [value for value in values if isinstance(value, str)] if isinstance(values, Iterable) else []
