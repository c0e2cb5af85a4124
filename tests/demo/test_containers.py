"""The demo with containers: its PostgreSQL over TCP, and settings that Daybreak reads."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from daybreak.settings import load
from examples.demo.containers import Containers
from examples.demo.processes import Processes
from examples.demo.world import Layout, write_settings


class _Running:
    """The server of the tests, as the demo's says where it is."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str) -> str:
        return make_url(self._url).set(database=database).render_as_string(hide_password=False)


def test_containers_reach_the_demo_s_databases_and_its_settings_name_the_engine(
    tmp_path: Path, postgres_url: str, monkeypatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    processes, server = Processes(tmp_path / "logs", lambda: None), _Running(postgres_url)
    containers = Containers()
    try:
        sql = containers.database(processes, server)
        engine = create_engine(sql.replace("{database}", "postgres"), poolclass=NullPool)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
    finally:
        processes.stop()
    layout = Layout(tmp_path)
    write_settings(
        layout, database=server.url, endpoint="http://127.0.0.1:1", monorepo=str(tmp_path), slack={},
        airflow={"url": "http://127.0.0.1:2", "username": "bot", "password": "x"}, night={}, sql=sql,
        github={}, engine=containers.url,
    )  # fmt: skip
    monkeypatch.setenv("DAYBREAK_CONFIG", str(layout.config))
    settings = load()
    assert {each.runtime for each in settings.environments} == {"docker"}
    assert {each.engine.url for each in settings.environments} == {"unix:///run/other.sock"}
    assert settings.build.images is not None
    assert settings.build.images.engine.url == "unix:///run/other.sock"
