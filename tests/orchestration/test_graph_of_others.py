"""The graph that another machine published is the one that this machine draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.catalog import snapshot
from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.orchestration import graph
from daybreak.store import Store


def catalog(*names: str) -> Catalog:
    return Catalog("c" * 40, {name: CatalogResource(name, ResourceType.PACKAGE, root=name) for name in names})


def test_each_machine_draws_what_was_published_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store((tmp_path / "store").as_uri())
    config = tmp_path / "daybreak.yaml"
    config.write_text(f"store: {store.url}\n")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    here, there = tmp_path / "here", tmp_path / "there"
    assert graph.read(here) == ()

    snapshot.publish(catalog("geo"), store, there)
    assert [node.name for node in graph.read(here)] == ["geo"]
    before = (here / "graph.json").stat()
    assert graph.read(here)
    assert (here / "graph.json").stat().st_mtime_ns == before.st_mtime_ns
    snapshot.publish(catalog("geo", "trips"), store, there)
    assert [node.name for node in graph.read(here)] == ["geo", "trips"]

    # A store that is away leaves what was read last, and keeps nobody waiting.
    config.write_text("store: s3://away/daybreak\n")
    away = {"ENDPOINT_URL": "http://127.0.0.1:9", "REGION": "us-east-1", "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b"}  # fmt: skip
    for name, value in away.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert [node.name for node in graph.read(here)] == ["geo", "trips"]


@pytest.mark.aws
def test_a_graph_in_s3_is_read_by_every_machine(
    s3_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "daybreak.yaml"
    config.write_text(f"store: {s3_store}\n")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    snapshot.publish(catalog("geo"), Store(s3_store), tmp_path / "there")
    assert [node.name for node in graph.read(tmp_path / "here")] == ["geo"]
