"""The lane's world on a real environment: git, builds, deploys, e2e suites; the cloud is the emulator's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3
from sqlalchemy import Engine, update

from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.merge.attempts import Attempts
from daybreak.merge.batch import Batch
from daybreak.merge.findings import Findings
from daybreak.merge.ground import MergeGround
from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.registry import tables
from daybreak.settings import Settings
from daybreak.store import Store
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import World
from tests.merge.small import monorepo


def settings_of(folder: Path, endpoint: str, account: str) -> Settings:
    """One merge environment."""
    return Settings.model_validate({
        "monorepo": {"url": str(folder / "remote.git")},
        "home": str(folder / "home"),
        "aws": {"endpoint_url": endpoint, "accounts": {account: {}}},
        "environments": [{"name": "merge-01", "account": account, "role": "merge"}],
    })  # fmt: skip


def installation_of(settings: Settings, registry: Engine, clock: ManualClock) -> Installation:
    """Whose only account is the emulator's."""
    [account] = settings.aws.accounts
    session = boto3.Session(account, "x", region_name="us-east-1")
    return Installation(settings, registry, Store(settings.store_url), lambda _: session, clock)


class Grounded(World):
    """A world whose place is the merge environment itself."""

    def __init__(
        self, folder: Path, registry: Engine, clock: ManualClock, endpoint: str, account: str,
        more: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.state = folder / "state"
        self.state.mkdir()
        settings = settings_of(folder, endpoint, account)
        files = {**monorepo(self.state), **(more or {})}
        super().__init__(folder, registry, clock, files, settings.environment("merge-01"))
        self.installation = installation_of(settings, registry, clock)
        self.installation.switches.arm(account, "test")
        with registry.begin() as connection:
            connection.execute(update(tables.environments).values(nonce="a-night-s"))
        self.lane.ground = MergeGround(
            self.installation, "merge-01", Attempts(registry, clock), self.repository
        )

    def said(self, name: str) -> str | None:
        path = self.state / name
        return json.loads(path.read_text())["value"] if path.exists() else None

    def stacks(self) -> list[str]:
        """The environment's, as AWS has them."""
        [account] = self.installation.settings.aws.accounts
        session = boto3.Session(account, "x", region_name="us-east-1")
        endpoint = self.installation.settings.aws.endpoint_url
        client = session.client("cloudformation", endpoint_url=endpoint)
        found = client.list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])
        return [each["StackName"] for each in found["StackSummaries"]]

    def ran(self) -> set[str]:
        """Which suites ran since the last look."""
        marks = list(self.state.glob("ran-*"))
        for each in marks:
            each.unlink()
        return {each.name.removeprefix("ran-") for each in marks}

    def propose(self, number: int, changed: dict[str, str], gone: Sequence[str] = ()) -> Entry:
        """A pull request of main as it is now."""
        self.base = self.main
        self.work.git("fetch", "--quiet", self.url, "main")
        return self.pull_request(number, changed, gone)

    def change(self, number: int, **values: str) -> Entry:
        return self.propose(number, {f"{name}/value.txt": f"{value}\n" for name, value in values.items()})

    def tried(self, run_id: str, batch: Batch | None = None) -> tuple[A, Findings]:
        state = self.go(self.begin(run_id, batch))
        found = Findings.of(self.installation.store, run_id)
        assert found is not None
        return state, found

    def idle(self) -> None:
        env = self.environments.get("merge-01")
        assert (env.op_token, env.state, env.commit) == (None, State.READY, self.main)
        assert self.lane.ground.runs(self.main)
        assert self.work.git("-C", self.url, "for-each-ref", "refs/heads/daybreak/candidate/") == ""
