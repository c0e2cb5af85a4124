"""``daybreak init``: the first ``daybreak.yaml`` of a team, from its repository and a few questions."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import DaybreakError, UsageError

EXAMPLES = {
    "init": "examples:\n  daybreak init --repo ~/src/acme\n"
    "  daybreak init --repo . --account 111122223333 --environments dev-01,dev-02,merge-01 --yes\n\n"
    "Nothing is overwritten without --force. Passwords are never asked for: the file names the variables\n"
    "that hold them."
}

#: What a person's name in the settings may be.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEAD = "# Daybreak's settings; docs/settings.md explains each field. ${NAME} is that environment variable."


@dataclass(frozen=True)
class Question:
    """Something that no file of the repository tells.

    :param flag: its name on the command line.
    :param valid: what is wrong with an answer, or nothing.
    """

    flag: str
    text: str
    default: str
    valid: Callable[[str], str]


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command."""
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the monorepo (default: .)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: $DAYBREAK_CONFIG, or this package's own",
    )
    for question in _questions("UTC"):
        parser.add_argument(f"--{question.flag}", metavar="X", help=question.text)
    parser.add_argument("--yes", action="store_true", help="ask nothing: what has no flag takes its default")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Look, ask, check, write; then say what comes next."""
    from daybreak.cli.saying import login
    from daybreak.git.repository import Repository
    from daybreak.settings import DEFAULT_FILE

    output = words.output or Path(os.environ.get("DAYBREAK_CONFIG") or DEFAULT_FILE)
    if output.exists() and not _is_blank(output) and not words.force:
        raise UsageError(f"{output} is there already; --force replaces it, --output names another")
    repo = Repository(words.repo)
    try:
        paths = [entry.path for entry in repo.ls_tree(repo.rev_parse("HEAD"))]
    except DaybreakError as error:
        raise UsageError(f"{error}; --repo names a clone of the monorepo") from None
    url, branch = repo.origin()
    seen = {"url": url, "branch": branch, "e2e": _e2e(paths), "catalog": "resources.py"}
    print(f"monorepo  {url}, branch {branch}", file=sys.stderr)
    if seen["catalog"] in paths:
        print(f"catalog   {seen['catalog']}, on top of what the manifests say", file=sys.stderr)
    else:
        print("catalog   from the manifests (`daybreak discover` prints it)", file=sys.stderr)
    if not any(path.startswith(f"{seen['e2e']}/") for path in paths):
        print(f"e2e       none in {seen['e2e']}/; `monorepo.e2e` names their folder", file=sys.stderr)
    ask = not words.yes and sys.stdin.isatty()
    answers = _answers(words, _questions(_zone()), ask=ask)
    text = written(seen, answers, login())
    _check(text, output)
    _replace(output, text)
    print(f"wrote {output}", file=sys.stderr)
    print(_next(text, output))
    return 0


def written(seen: Mapping[str, str], answers: Mapping[str, str], admin: str) -> str:
    """The file's text.

    :param admin: the login of whoever sets Daybreak up.
    """
    names = [name.strip() for name in answers["environments"].split(",")]
    environments = "\n".join(
        f'  - {{name: {name}, account: "{answers["account"]}", region: {answers["region"]}'
        + (", role: merge}" if name.startswith("merge") else "}")
        for name in names
    )
    lines = [
        _HEAD,
        "monorepo:",
        *(f"  {field}: {_quoted(seen[field])}" for field in ("url", "branch", "e2e")),
        "home: /var/lib/daybreak",
        "registry: postgresql+psycopg2://daybreak:${REGISTRY_PASSWORD}@localhost/daybreak",
        'schedule: "off"  # "on" when `daybreak night plan` says what you expect',
        "aws:",
        "  accounts:",
        f'    "{answers["account"]}": {{connection: aws_default}}  # Airflow\'s connection',
        "night:",
        f"  zone: {answers['zone']}",
        f'  evening: "{answers["evening"]}"',
        f'  morning: "{answers["morning"]}"',
        f"  workweek: [{', '.join(day.strip() for day in answers['workweek'].split(','))}]",
        "environments:  # `role: merge` is rebuilt in place; add `sql:` where databases are to live",
        environments,
        "people:  # who may do more than read; add `email:` or `slack: U…`, see docs/settings.md",
        *([f"  - {{name: {admin}, admin: true}}"] if _NAME.fullmatch(admin) else ["  []"]),
    ]
    if answers["airflow"]:
        lines += [
            "airflow:",
            f"  url: {_quoted(answers['airflow'])}",
            "  username: bot",
            "  password: ${AIRFLOW_BOT_PASSWORD}",
        ]
    if answers["slack"]:
        lines.append(f"slack: {{channel: {_quoted(answers['slack'])}}}")
    return "\n".join(lines) + "\n"


def _questions(zone: str) -> Sequence[Question]:
    from datetime import time
    from zoneinfo import available_timezones

    def matching(pattern: str, meaning: str) -> Callable[[str], str]:
        return lambda answer: "" if re.fullmatch(pattern, answer) else f"{answer!r} is not {meaning}"

    def local_time(answer: str) -> str:
        try:
            time.fromisoformat(answer)
        except ValueError:
            return f"{answer!r} is not a time such as 20:00"
        return ""

    def known_zone(answer: str) -> str:
        return "" if answer in available_timezones() else f"{answer!r} is not an IANA zone"

    name = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
    day = r"(mon|tue|wed|thu|fri|sat|sun)"
    return (
        Question(
            "environments", "names of the environments, with commas; merge-… is the merge environment",
            "dev-01,dev-02,merge-01", matching(rf"{name}(\s*,\s*{name})*", "a list such as dev-01,merge-01"),
        ),
        Question("account", "the AWS account that they are in", "", matching(r"\d{12}", "12 digits")),
        Question("region", "their region", "us-east-1", matching(r"[a-z]{2}(-[a-z]+)+-\d", "a region")),
        Question("zone", "IANA time zone of the team", zone, known_zone),
        Question("evening", "when environments go (local time)", "20:00", local_time),
        Question("morning", "when they come back", "06:00", local_time),
        Question(
            "workweek", "working days", "mon,tue,wed,thu,fri",
            matching(rf"{day}(\s*,\s*{day})*", "days such as mon,tue"),
        ),
        Question("airflow", "URL of Airflow, empty for later", "", matching(r"(https?://\S+)?", "a URL")),
        Question(
            "slack", "Slack channel, empty for none", "",
            matching(r"(#\S{1,80}|[CDG][A-Z0-9]{2,})?", "a channel such as #dev-envs"),
        ),
    )  # fmt: skip


def _answers(words: argparse.Namespace, questions: Sequence[Question], *, ask: bool) -> dict[str, str]:
    answers = {}
    for question in questions:
        given = getattr(words, question.flag)
        if given is None and ask:
            answers[question.flag] = _asked(question)
            continue
        answer = question.default if given is None else given
        if problem := question.valid(answer):
            how = (
                f"--{question.flag}: {problem}" if answer else f"--{question.flag} is needed: {question.text}"
            )
            raise UsageError(how)
        answers[question.flag] = answer
    return answers


def _asked(question: Question) -> str:
    hint = f" [{question.default}]" if question.default else ""
    while True:
        print(f"{question.text}{hint}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UsageError("no more answers; nothing was written")
        answer = line.strip() or question.default
        problem = question.valid(answer)
        if not problem:
            return answer
        print(f"  {problem}", file=sys.stderr)


def _check(text: str, output: Path) -> None:
    """What is written can be read again; before anything is replaced."""
    from daybreak.settings import load

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / output.name
        draft.write_text(text, encoding="utf-8")
        load(draft, dict.fromkeys(_variables(text), "x"))


def _replace(output: Path, text: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = output.with_name(f".{output.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}; --output names another") from None


def _next(text: str, output: Path) -> str:
    from daybreak.settings import DEFAULT_FILE

    named = output.resolve() != DEFAULT_FILE and os.environ.get("DAYBREAK_CONFIG") != str(output)
    steps = [f"export DAYBREAK_CONFIG={output.resolve()}"] if named else []
    steps += [
        "make the database that `registry:` names, or name another one there",
        f"set {', '.join(_variables(text))} where Daybreak and Airflow run",
    ]
    steps += ["daybreak registry migrate", "daybreak doctor", "daybreak night plan"]
    return "next:\n" + "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1))


def _variables(text: str) -> list[str]:
    body = text.replace(_HEAD, "")
    return sorted(set(re.findall(r"\$\{(\w+)\}", body)))


def _is_blank(path: Path) -> bool:
    """The file that comes with the package names no environment: nobody's work."""
    return re.search(r"^environments: \[\]$", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _e2e(paths: Sequence[str]) -> str:
    for folder in ("e2e", "tests/e2e", "test/e2e"):
        if any(path.startswith(f"{folder}/") for path in paths):
            return folder
    return "e2e"


def _zone() -> str:
    named = os.environ.get("TZ") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    from zoneinfo import available_timezones

    return named if named in available_timezones() else "UTC"


def _quoted(value: str) -> str:
    """A YAML scalar that means just this text."""
    import json

    return json.dumps(value, ensure_ascii=False)
