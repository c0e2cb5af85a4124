"""``daybreak affected``, ``why`` and ``plan``: what a change touches, why, and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.change.affected import Affected
    from daybreak.change.plan import Plan
    from daybreak.git.repository import Change, Repository

_CODES = (
    "\n\nexit codes: 0 done; 1 failed; 2 usage, or something still names a removed resource; 3 no base to\n"
    "compare with; 4 a changed file belongs to nobody (--strict); 5 resources depend on each other in a\n"
    "circle (plan)."
)

EXAMPLES = {
    "affected": "examples:\n"
    "  daybreak affected                                     HEAD against its merge base with main\n"
    "  daybreak affected --base origin/main --json | jq -r '.affected[].name'\n"
    "  daybreak affected --uncommitted                       with what is not committed yet\n"
    "  daybreak affected --repo ../monorepo --base v1.4 --head v1.5\n"
    "  daybreak affected --strict --on-unknown all           in a CI that must not miss anything" + _CODES,
    "why": "examples:\n"
    "  daybreak why trips\n"
    "  daybreak why trips --base origin/main --json\n"
    "  daybreak why trips --all                              every reason, not only the shortest chain"
    + _CODES,
    "plan": "examples:\n"
    "  daybreak plan                                         actions for HEAD against main, in order\n"
    "  daybreak plan --json > plan.json\n"
    "  daybreak plan --store file:///var/lib/daybreak/store  what is built there is not built again\n"
    "\nWithout --store, that of the settings counts if there are any; else nothing counts as built." + _CODES,
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command that ``parser`` is for."""
    command = parser.prog.split()[-1]
    if command == "why":
        parser.add_argument("resource", metavar="RESOURCE")
        parser.add_argument("--all", action="store_true", help="every reason")
    add_range(parser)
    parser.add_argument("--json", action="store_true", help="the answer as JSON, alone on standard output")
    if command == "affected":
        parser.add_argument(
            "--strict", action="store_true", help="exit code 4 when a changed file belongs to no resource"
        )
    if command == "plan":
        parser.add_argument("--store", metavar="URL", help="where artifacts are (file:// or s3://)")
        parser.add_argument("--python", default="3.11", help="the version that artifacts are built for")
    parser.set_defaults(run={"affected": run, "why": run_why, "plan": run_plan}[command])


def add_repository(parser: argparse.ArgumentParser) -> None:
    """The words that say where the monorepo is."""
    parser.add_argument("--repo", metavar="DIR", default=".", help="the monorepo (default: this folder)")
    parser.add_argument(
        "--catalog", metavar="FILE", default="resources.py", help="its catalog (default: resources.py)"
    )


def add_range(parser: argparse.ArgumentParser) -> None:
    """The words that say which change is meant."""
    add_repository(parser)
    parser.add_argument("--base", metavar="REV", default="main", help="any revision (default: main)")
    parser.add_argument("--head", metavar="REV", default="HEAD", help="any revision (default: HEAD)")
    parser.add_argument(
        "--uncommitted",
        action="store_true",
        help="HEAD with what `git add --all` would take (not with --head)",
    )
    parser.add_argument(
        "--on-unknown", choices=["fail", "all"], default="fail",
        help="without a base to compare with: fail (exit code 3), or select everything with a warning",
    )  # fmt: skip


@dataclass(frozen=True)
class Range:
    """What the words mean in the repository.

    :param shown: the commit to tell people.
    """

    repo: Repository
    head: str
    shown: str
    more: tuple[Change, ...]


@contextmanager
def chosen(words: argparse.Namespace) -> Iterator[Range]:
    """The repository and the head that were asked for; :raises UsageError: when they are not there."""
    from daybreak.errors import UsageError
    from daybreak.git.repository import Repository

    repo = Repository(Path(words.repo))
    if not words.uncommitted:
        commit = repo.rev_parse(words.head)
        yield Range(repo, commit, commit, ())
        return
    if words.head != "HEAD":
        raise UsageError("--uncommitted means HEAD and what is in the working tree; leave --head out")
    from daybreak.git.worktree import working_tree

    shown = repo.rev_parse("HEAD")
    with working_tree(repo) as tree:
        yield Range(tree.repo, tree.commit, shown, tree.submodules)


def impact(words: argparse.Namespace, found: Range) -> Affected:
    """The answer to the words, with what is uncertain on standard error."""
    from daybreak.catalog.loader import load
    from daybreak.change.affected import affected

    catalog = load(found.repo, found.head, words.catalog)
    answer = affected(
        found.repo,
        words.base,
        catalog,
        words.catalog,
        more=found.more,
        on_unknown_all=words.on_unknown == "all",
    )
    warn(answer.warnings, answer.fallback)
    return answer


def warn(warnings: tuple[str, ...], fallback: str | None) -> None:
    """Say on standard error what was assumed."""
    for warning in warnings:
        print(f"daybreak: warning: {warning}", file=sys.stderr)
    if fallback:
        print(f"daybreak: warning: EVERYTHING is selected: {fallback}", file=sys.stderr)


def run(words: argparse.Namespace) -> int:
    """Print what is affected."""
    with chosen(words) as found:
        answer = impact(words, found)
    data = as_json(answer, found.shown)
    if words.uncommitted:
        data["uncommitted"] = True
    if words.json:
        print(json.dumps(data))
    else:
        print("\n".join(_lines(answer, data)))
    if answer.removed:
        from daybreak.change.removed import error_text

        if named := error_text(answer.removed):
            print(f"daybreak: {named}", file=sys.stderr)
            return 2
    return 4 if words.strict and answer.unowned else 0


def as_json(answer: Affected, head: str) -> dict[str, Any]:
    """The JSON of change-impact, schema 1."""
    from daybreak.catalog.graph import sort_actions

    catalog = answer.head
    return {
        "schema": 1,
        "base": answer.base,
        "head": head,
        "affected": [
            {
                "name": name,
                "type": catalog[name].type.value,
                "enabled": catalog[name].enabled,
                "depends_on": list(catalog[name].dependencies),
                "actions": sort_actions(answer.actions(name)),
                "because": list(because),
            }
            for name, because in answer.because.items()
        ],
        "removed": [each.to_json() for each in answer.removed],
        "unowned": list(answer.unowned),
        "uncertain": [
            {"resource": each.resource, "where": each.where, "what": each.what} for each in catalog.uncertain
        ],
        "fallback": answer.fallback,
    }


def _lines(answer: Affected, data: dict[str, Any]) -> list[str]:
    from daybreak.cli.table import table

    rows = [
        [
            each["name"],
            each["type"],
            " ".join(each["actions"]) or ("disabled" if not each["enabled"] else "-"),
            each["because"][0]
            + (f" (and {len(each['because']) - 1} more)" if len(each["because"]) > 1 else ""),
        ]
        for each in data["affected"]
    ]
    said = table(("resource", "type", "actions", "because"), rows) if rows else []
    for gone in answer.removed:
        what = "destroy what it deployed" if gone.destroy else "nothing of it was deployed"
        said.append(f"removed: {gone.name} ({gone.type.value}): {what}")
    said += [f"unowned: {printable(path)}" for path in answer.unowned]
    if answer.head.uncertain:
        said.append(f"uncertain: {len(answer.head.uncertain)} places; see `daybreak discover`")
    said.append(f"{len(rows)} of {len(answer.head.resources)} resources are affected")
    return [printable(line) for line in said]


def printable(text: str) -> str:
    """``text`` in one line that can be written: a path may hold a line break, or bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def run_why(words: argparse.Namespace) -> int:
    """Print the shortest chain from a changed file to a resource."""
    from daybreak.catalog.graph import sort_actions
    from daybreak.change.why import why

    with chosen(words) as found:
        answer = impact(words, found)
    chain = why(answer, words.resource)
    actions = sort_actions(answer.actions(words.resource)) if chain else []
    if words.json:
        reasons = [reason.text for reason in answer.reasons.get(words.resource, ())]
        print(
            json.dumps(
                {
                    "schema": 1,
                    "resource": words.resource,
                    "affected": chain is not None,
                    "actions": actions,
                    "chain": chain.to_json() if chain else None,
                    "reasons": reasons,
                    "unowned": list(answer.unowned),
                }
            )
        )
        return 0
    nobodys = [printable(f"unowned: {path}") for path in answer.unowned]
    if chain is None:
        said = f"{words.resource} is not affected: neither its files nor anything that it needs changed "
        print("\n".join([f"{said}between {words.base} and {words.head}.", *nobodys]))
        return 0
    resource = answer.head[words.resource]
    todo = ", ".join(actions) or ("nothing: it is disabled" if not resource.enabled else "nothing")
    print("\n".join(printable(line) for line in chain.lines()))
    print(f"So for {words.resource}: {todo}.")
    if words.all:
        print("\nAll reasons:")
        for reason in answer.reasons[words.resource]:
            where = f"  {reason.evidence}" if reason.evidence else ""
            print(printable(f"  {reason.text}{where}"))
    elif chain.others:
        more = "1 more reason" if chain.others == 1 else f"{chain.others} more reasons"
        print(f"({more}: the same with --all)")
    if nobodys:
        print("\n".join(nobodys))
    return 0


def run_plan(words: argparse.Namespace) -> int:
    """Print the actions in the order in which they are taken."""
    from daybreak.change.plan import plan

    exists = _artifacts(words.store)
    with chosen(words) as found:
        answer = plan(
            found.repo, words.base, found.head, exists, words.catalog, python=words.python, more=found.more,
            on_unknown_all=words.on_unknown == "all",
        )  # fmt: skip
    warn((), answer.fallback)
    print(answer.dumps().decode() if words.json else "\n".join(_plan_lines(answer)))
    return 0


def _artifacts(store: str | None) -> Any:
    if store is None:
        import os

        from daybreak.settings import DEFAULT_FILE

        if not os.environ.get("DAYBREAK_CONFIG") and not Path(DEFAULT_FILE).is_file():
            return lambda _name, _key: False
        from daybreak.settings import load

        store = load().store_url
    from daybreak.build.artifact import Artifacts
    from daybreak.store import Store

    return Artifacts(Store(store)).exists


def _plan_lines(answer: Plan) -> list[str]:
    from daybreak.cli.table import table

    rows = [
        [step.name, step.type.value, " ".join(each.value for each in step.actions), step.key[:12],
         "build" if step.build_needed else "-", step.because[0] if step.because else ""]
        for step in answer.steps
    ]  # fmt: skip
    said = table(("resource", "type", "actions", "key", "missing", "because"), rows) if rows else []
    said += [f"removed: {gone.name}" + (": destroy" if gone.destroy else "") for gone in answer.removed]
    said += [f"unowned: {path}" for path in answer.unowned]
    said.append(f"{len(rows)} resources, {sum(step.build_needed for step in answer.steps)} to build")
    return [printable(line) for line in said]
