"""This machine, the monorepo, the registry and the store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from daybreak.doctor.finding import Finding
from daybreak.settings import DEFAULT_FILE, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Below it a mirror, runtimes and a night's logs may not find their place.
_ROOM_BYTES = 5 << 30
#: A heartbeat is 30 s and its silence 120 s: clocks that differ by more than this make live steps look dead.
SKEW_SECONDS = 10.0
#: A message that waits for longer is late: the caretaker sends every five minutes.
_DELAY = timedelta(minutes=30)


def settings(settings: Settings) -> Iterator[Finding]:
    """What the settings say, in one line."""
    names = ", ".join(each.name for each in settings.environments)
    if not settings.environments:
        file = os.environ.get("DAYBREAK_CONFIG") or DEFAULT_FILE
        yield Finding(
            "settings", "fail", f"no environments in {file}",
            "`daybreak init` writes a file; DAYBREAK_CONFIG names the one that is read",
        )  # fmt: skip
        return
    yield Finding("settings", "ok", f"{len(settings.environments)} environments ({names})")
    if settings.schedule == "off":
        yield Finding(
            "schedule", "warn", "off: a night begins only by hand", 'set `schedule: "on"` when you are ready'
        )


def home(settings: Settings) -> Iterator[Finding]:
    """``home`` can be written, and has room."""
    folder = settings.home.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding(
            "home", "fail", f"{folder} cannot be written: {error.strerror}",
            f"let user {os.getuid()} write it, or name another `home`",
        )  # fmt: skip
        return
    free = shutil.disk_usage(folder).free
    room = f"{folder}: {free / (1 << 30):.1f} GiB free"
    if free < _ROOM_BYTES:
        yield Finding("home", "warn", room, f"{_ROOM_BYTES >> 30} GiB are a comfortable minimum")
    else:
        yield Finding("home", "ok", room)


def monorepo(settings: Settings) -> Iterator[Finding]:
    """The monorepo can be fetched, and the catalog of its branch can be read."""
    from daybreak import git
    from daybreak.catalog.loader import load

    where = settings.monorepo
    mirror = git.mirror(where.url, settings.home.absolute() / "mirror.git")
    catalog = load(mirror, where.branch, where.catalog)
    catalog.order()
    count = len(catalog.resources)
    said = f"{where.branch} is {catalog.commit[:12]}; {count} resource{'' if count == 1 else 's'}"
    if count == 0:
        yield Finding(
            "monorepo", "fail", said, "`daybreak discover` says what it looks for; docs/discovery.md"
        )
        return
    yield Finding("monorepo", "ok", said)
    if not mirror.ls_tree(catalog.commit, [where.e2e]):
        yield Finding(
            "monorepo", "warn",
            f"no e2e tests in {where.e2e}/: every verdict is not_run, and `lock any` finds no environment",
            "name their folder in `monorepo.e2e`, or write the first one",
        )  # fmt: skip
    if catalog.uncertain:
        yield Finding(
            "monorepo", "warn", f"{len(catalog.uncertain)} places that reading files cannot decide",
            "`daybreak discover` lists them; declare what they depend on",
        )  # fmt: skip


def registry(settings: Settings) -> Iterator[Finding]:
    """The registry answers, its tables are those of this code, and its clock is ours."""
    from sqlalchemy import make_url, select, text

    from daybreak import registry

    url = make_url(settings.registry_url)
    where = f"{url.get_backend_name()} {url.host or url.database}"
    engine = registry.connect(settings.registry_url)
    registry.require_current(engine)
    if engine.dialect.name == "sqlite":
        yield Finding(
            "registry", "warn", f"{where}: SQLite serves one machine",
            "name a PostgreSQL in `registry:` before Airflow works with it",
        )  # fmt: skip
        yield messages(engine, settings)
        return
    with engine.connect() as connection:
        theirs: datetime = connection.execute(select(text("clock_timestamp()"))).scalar_one()
    yield Finding("registry", "ok", f"{where}: revision {registry.revision(engine)}")
    yield skew("the registry", theirs)
    yield messages(engine, settings)


def messages(engine: Engine, settings: Settings) -> Finding:
    """Whether what people are to be told reaches them."""
    from daybreak.registry.outbox import Outbox
    from daybreak.registry.work import FAILED, WAITING

    outbox = Outbox(engine)
    if given_up := outbox.standing(FAILED):
        last = given_up[-1]
        return Finding(
            "messages", "warn", f"{len(given_up)} were given up, the last for {last.recipient}: {last.error}",
            "mend what it names; `daybreak registry messages` lists them, with `--again` they are sent",
        )  # fmt: skip
    # Without an app, nobody is there to send them, and they are forgotten after two weeks.
    apps = {"github:": settings.github} if settings.slack is None else {"": settings.slack}
    late = [
        each for each in outbox.standing(WAITING)
        if outbox.clock() - each.created_at > _DELAY
        and any(app is not None and each.recipient.startswith(start) for start, app in apps.items())
    ]  # fmt: skip
    if late:
        why = next((each.error for each in late if each.error), "nobody tried to send them")
        return Finding(
            "messages", "warn", f"{len(late)} wait since {late[0].created_at:%Y-%m-%d %H:%M} UTC: {why}",
            "is the DAG `caretaker` unpaused and green? It sends them when what they wait for is mended",
        )  # fmt: skip
    return Finding("messages", "ok", "everything was sent")


def store(settings: Settings) -> Iterator[Finding]:
    """What is put into the store can be read again."""
    from daybreak.store import Store

    kept = Store(settings.store_url)
    content = datetime.now(UTC).isoformat().encode()
    kept.put("doctor/probe", content)
    if kept.get("doctor/probe") != content:
        yield Finding(
            "store", "fail", f"{kept.url} gave back something else than was put",
            "is something caching before it? Artifacts must be read as they were written",
        )  # fmt: skip
    else:
        yield Finding("store", "ok", f"{kept.url}: written and read")


def skew(whose: str, theirs: datetime) -> Finding:
    """Compare another machine's clock, asked just now, with ours."""
    seconds = abs((datetime.now(UTC) - theirs).total_seconds())
    if seconds > SKEW_SECONDS:
        return Finding(
            "clock", "fail", f"this machine and {whose} differ by {seconds:.0f} s",
            "run a time service on both: leases, heartbeats and signatures live by the clock",
        )  # fmt: skip
    return Finding("clock", "ok", f"within {SKEW_SECONDS:.0f} s of {whose}")
