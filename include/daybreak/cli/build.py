"""``daybreak build``."""

from __future__ import annotations

import argparse
import json
import sys

EXAMPLES = {
    "build": "examples:\n"
    "  daybreak build                      everything of the latest main\n"
    "  daybreak build trips fleet          these, and what they need\n"
    "  daybreak build --commit my-branch   of another revision\n"
    "\nA resource whose artifact is in the store under its content key is not built again.",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("resources", nargs="*", help="by default all")
    parser.add_argument("--commit", metavar="REV", help="revision of the monorepo (default: its main branch)")
    parser.add_argument("--no-tests", action="store_true", help="leave out the unit tests")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Build; exit code 1 when something failed."""
    from daybreak import git
    from daybreak.build.artifact import Artifacts
    from daybreak.build.runner import Outcome, build_all
    from daybreak.catalog.loader import load
    from daybreak.change.key import content_keys
    from daybreak.settings import load as load_settings
    from daybreak.store import Store

    settings = load_settings()
    home = settings.home.absolute()
    repo = git.mirror(settings.monorepo.url, home / "mirror.git")
    commit = repo.rev_parse(words.commit or settings.monorepo.branch)
    catalog = load(repo, commit, settings.monorepo.catalog)
    names = words.resources or list(catalog.resources)
    for name in names:
        catalog[name]
    keys = content_keys(repo, catalog, python=settings.build.python)
    outcomes = []
    for progress in build_all(
        repo, catalog, names, keys, Artifacts(Store(settings.store_url)), home, settings.build,
        log=lambda line: print(line, file=sys.stderr) if words.verbose else None, tests=not words.no_tests,
    ):  # fmt: skip
        outcomes.append(progress)
        tests = f", {progress.tests} tests" if progress.tests else ""
        print(
            f"{progress.resource:<20} {progress.outcome.value:<8} {progress.seconds:6.1f} s{tests}",
            file=sys.stderr,
        )
        if progress.detail:
            print(f"    {progress.detail}", file=sys.stderr)
    counts = {each: sum(item.outcome is each for item in outcomes) for each in Outcome}
    if words.json:
        print(
            json.dumps(
                {
                    "commit": commit,
                    "resources": [
                        {"name": item.resource, "key": item.key, "outcome": item.outcome.value,
                         "tests": item.tests, "seconds": round(item.seconds, 2)}
                        for item in outcomes
                    ],
                }
            )
        )  # fmt: skip
    else:
        said = ", ".join(f"{count} {each.value}" for each, count in counts.items() if count)
        print(f"{commit[:12]}: {said}")
    return 1 if counts[Outcome.FAILED] or counts[Outcome.SKIPPED] else 0
