"""Whatever goes wrong: nothing wrong lands, nothing is stuck, no comment twice (`make soak ENGINE=1`)."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from examples.standins.github.server import GithubStandin
from tests.merge.soak import Soak


def test_a_few_pull_requests_while_everything_goes_wrong(
    tmp_path: Path, sqlite_registry: Engine, github_site: GithubStandin
) -> None:
    with Soak(tmp_path, sqlite_registry, github_site, seed=2).running() as soak:
        soak.go(4)
        assert soak.wrong() == []
    assert soak.happened["fault"]
    assert soak.happened["killed"]
    github_site.forget()
