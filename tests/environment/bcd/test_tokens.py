"""A deploy by hand asks AWS for each operation once, also when it is killed before it heard the answer."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import Engine, update

from daybreak.environment.bcd.deploy import deploy
from daybreak.environment.bcd.engine import build
from daybreak.environment.bcd.prepare import prepare
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.work import Work
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.errors import LostOp
from daybreak.registry import tables
from daybreak.settings import Settings
from daybreak.store import Store
from tests.crash.points import Points
from tests.fixtures.cloud import REGION, Cloud, queue, template
from tests.monorepo import HEADER, Monorepo

pytestmark = pytest.mark.aws
RESOURCES = (
    f"{HEADER}"
    'BASE = Resource(name="base", type=rt.INFRA, dependent_paths=["infra"], '
    'options={"template": "template.json", "stack": "base"})\n'
)
RUN = "by-hand"


@pytest.fixture
def planned(cloud: Cloud, sqlite_registry: Engine, tmp_path: Path) -> Installation:
    """Dana's deploy of a stack that is not there yet: asked for, built, and not begun."""
    monorepo = Monorepo(tmp_path / "acme")
    monorepo.commit({"resources.py": RESOURCES, "infra/template.json": template({"Q": queue("dev-1-q")})})
    settings = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "registry": sqlite_registry.url.render_as_string(),
            "store": (tmp_path / "store").as_uri(),
            "monorepo": {"url": str(monorepo.path)},
            "aws": {"accounts": {cloud.account: {}}, "endpoint_url": cloud.endpoint_url},
            "environments": [{"name": "dev-1", "account": cloud.account}],
        }
    )
    found = Installation(settings, sqlite_registry, Store(settings.store_url), lambda _: cloud.session())
    found.register()
    found.switches.arm(cloud.account, "test")
    with sqlite_registry.begin() as connection:
        connection.execute(update(tables.environments).values(state=State.READY, nonce="n1"))
    request = Request("dev-1", force=True)
    prepare(found, RUN, request, "dana")
    build(Work(found, RUN, request, "dana"), print)
    return found


def deploying(settings: Settings, point: str) -> None:
    """In a process of its own: deploy, and be killed at that point."""
    [account] = settings.aws.accounts
    session = boto3.Session(account, "test", region_name=REGION)
    found = Installation.open(settings, lambda _: session)
    Points(lambda: os.kill(os.getpid(), signal.SIGKILL), point).install(found.engine)
    deploy(Work.of(found, RUN))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_try_after_a_kill_asks_for_the_same_operation(
    planned: Installation, cloud: Cloud, moment: str
) -> None:
    point = f"bcd deploy/aws:cloudformation.CreateStack:{moment}"
    # Not a fork of this process, which has threads.
    process = multiprocessing.get_context("forkserver").Process(
        target=deploying, args=(planned.settings, point)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    work = Work.of(planned, RUN)
    token = work.row.detail["tokens"]["dev-1-base"]["token"]

    assert deploy(work) == {"base": work.plan.steps[0].key}

    asked = [
        call["params"]["ClientRequestToken"]
        for call in cloud.emulator.journal(account=cloud.account)
        if call["action"] == "CreateStack"
    ]
    assert asked == [token]
    assert work.row.detail["tokens"] == {}


def test_whoever_was_overtaken_asks_for_nothing(planned: Installation, cloud: Cloud) -> None:
    """The orphan of a killed supervisor cannot keep a token, so it does not ask under one."""
    work = Work.of(planned, RUN)
    orphan = work.begin("bcd deploy", timedelta(minutes=90), to=State.DEGRADED)
    work.begin("bcd deploy", timedelta(minutes=90))
    with pytest.raises(LostOp):
        work.keeping(orphan).tokens.take("dev-1-base", "create")
    assert "tokens" not in work.row.detail
    assert cloud.seen() == []
