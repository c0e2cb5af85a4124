"""The graph of resources as text that other tools draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping

from daybreak.catalog.graph import Catalog

#: What Mermaid draws by default (``maxEdges``, ``maxTextSize``); only the page that draws can raise them, and
#: GitHub's does not: https://mermaid.js.org/config/schema-docs/config.html
_MOST_EDGES = 500
_MOST_CHARACTERS = 50_000

#: How Mermaid frames each type; everything else is a box.
_FRAMES = {"package": ("([", "])"), "database": ("[(", ")]"), "infra": ("{{", "}}"), "command": ("[/", "/]")}


def mermaid(catalog: Catalog, names: Collection[str], marked: Collection[str]) -> str:
    """A Mermaid flowchart: what is needed stands left of what needs it; ``marked`` are coloured.

    One that Mermaid draws only when it is told to begins with a comment that says so, and what to do.
    """
    lines = ["flowchart LR"]
    for name in sorted(names):
        resource = catalog[name]
        left, right = _FRAMES.get(resource.type.value, ("[", "]"))
        label = f"{name}<br/><small>{resource.type.value}</small>"
        lines.append(f'    r_{name}{left}"{label}"{right}')
    lines += [
        f"    r_{other} --> r_{name}"
        for name in sorted(names)
        for other in catalog.dependencies(name)
        if other in names
    ]
    off = sorted(name for name in names if not catalog[name].enabled)
    if shown := sorted(set(marked) & set(names)):
        lines.append("    classDef affected fill:#ffd9a0,stroke:#b35c00,color:#222")
        lines.append(f"    class {','.join(f'r_{name}' for name in shown)} affected")
    if off:
        lines.append("    classDef disabled stroke-dasharray: 4")
        lines.append(f"    class {','.join(f'r_{name}' for name in off)} disabled")
    text = "\n".join(lines)
    edges = sum(" --> " in line for line in lines)
    if edges <= _MOST_EDGES and len(text) <= _MOST_CHARACTERS:
        return text
    limits = json.dumps({"maxEdges": max(edges, _MOST_EDGES), "maxTextSize": len(text) + 1000})
    return (
        f"%% {edges:,} edges, {len(text):,} characters: by default Mermaid draws {_MOST_EDGES} and "
        f"{_MOST_CHARACTERS:,}. Draw less (`daybreak graph RESOURCE`, or `--base REV --only-affected`), use "
        f"`--format dot`, or give your own Mermaid {limits}.\n{text}"
    )


def dot(catalog: Catalog, names: Collection[str], marked: Collection[str]) -> str:
    """The same for Graphviz."""
    lines = ["digraph resources {", "  rankdir=LR;", "  node [shape=box, fontname=Helvetica];"]
    for name in sorted(names):
        label = json.dumps(f"{name}\n{catalog[name].type.value}")
        looks = [f"label={label}"]
        style = [
            *(["filled"] if name in marked else []),
            *(["dashed"] if not catalog[name].enabled else []),
        ]
        if style:
            looks.append(f'style="{",".join(style)}"')
        if name in marked:
            looks.append('fillcolor="#ffd9a0"')
        lines.append(f"  {json.dumps(name)} [{', '.join(looks)}];")
    for name in sorted(names):
        for other in catalog.dependencies(name):
            if other in names:
                where = catalog.evidence(name, other)
                tooltip = f" [tooltip={json.dumps(where)}]" if where else ""
                lines.append(f"  {json.dumps(other)} -> {json.dumps(name)}{tooltip};")
    return "\n".join([*lines, "}"])


def as_json(catalog: Catalog, names: Collection[str], marked: Collection[str]) -> str:
    """The same as data."""
    nodes = [
        {
            "name": name,
            "type": catalog[name].type.value,
            "enabled": catalog[name].enabled,
            "root": catalog[name].root,
            "affected": name in marked,
            "depends_on": [
                {"name": other, "evidence": catalog.evidence(name, other) or None}
                for other in catalog.dependencies(name)
                if other in names
            ],
        }
        for name in sorted(names)
    ]
    return json.dumps({"schema": 1, "commit": catalog.commit, "resources": nodes})


FORMATS: Mapping[str, Callable[[Catalog, Collection[str], Collection[str]], str]] = {
    "mermaid": mermaid,
    "dot": dot,
    "json": as_json,
}
