"""SQL databases of an environment are emptied after their marker was compared, on both kinds of server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from daybreak.deploy.marker import read_marker, write_marker
from daybreak.environment.interlocks import Code
from daybreak.environment.scorch import Item, Kind, ScorchFailed, ScorchPlan
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import LostOp, Refused, UsageError
from tests.environment.scorch.conftest import Execute, Plan
from tests.fixtures.cloud import Cloud

pytestmark = pytest.mark.aws

TABLES = [
    "CREATE TABLE owners (id INT PRIMARY KEY, name VARCHAR(20))",
    "CREATE TABLE cars (id INT PRIMARY KEY, owner INT NOT NULL, FOREIGN KEY (owner) REFERENCES owners (id))",
    "INSERT INTO owners VALUES (1, 'Ada')",
    "INSERT INTO cars VALUES (7, 1)",
    "CREATE VIEW fleet AS SELECT cars.id, name FROM cars JOIN owners ON owner = owners.id",
]


@dataclass
class Server:
    """A server with databases that the test makes."""

    admin_url: str
    env: str
    made: list[str] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        return make_url(self.admin_url).get_backend_name()

    @property
    def setting(self) -> str:
        """The environment's ``sql`` setting."""
        return make_url(self.admin_url).set(database="DB").render_as_string(False).replace("DB", "{database}")

    def url(self, database: str) -> str:
        return make_url(self.admin_url).set(database=database).render_as_string(False)

    def run(self, database: str | None, *statements: str) -> list[tuple[object, ...]]:
        url = self.url(database) if database else self.admin_url
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        rows: list[tuple[object, ...]] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows

    def create(
        self, resource: str, *statements: str, marker: tuple[str, str] | None = None, env: str = ""
    ) -> str:
        """A database ``<env>_<resource>`` with a marker, and what the statements make."""
        name = f"{env or self.env}_{resource}".replace("-", "_")
        self.run(None, f"CREATE DATABASE {name}")
        self.made.append(name)
        with create_engine(self.url(name), poolclass=NullPool).begin() as connection:
            write_marker(connection, *(marker or (self.env, "n1")))
        self.run(name, *statements)
        return name

    def tables(self, database: str) -> set[str]:
        schema = "table_schema NOT IN ('pg_catalog', 'information_schema')"
        where = schema if self.dialect == "postgresql" else f"table_schema = '{database}'"
        return {str(row[0]) for row in self.run(
            database, f"SELECT table_name FROM information_schema.tables WHERE {where}")}  # fmt: skip


@pytest.fixture
def env() -> str:
    """Servers are shared by tests; the environment's name keeps them apart."""
    return f"e{uuid4().hex[:10]}"


def _server(url: str, env: str) -> Iterator[Server]:
    server = Server(url, env)
    yield server
    force = " WITH (FORCE)" if server.dialect == "postgresql" else ""
    for name in server.made:
        server.run(None, f"DROP DATABASE {name}{force}")


@pytest.fixture
def postgres(postgres_url: str, env: str) -> Iterator[Server]:
    yield from _server(postgres_url, env)


@pytest.fixture
def mariadb(mariadb_url: str, env: str) -> Iterator[Server]:
    yield from _server(mariadb_url, env)


@pytest.fixture(
    params=[
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def server(request: pytest.FixtureRequest) -> Server:
    made: Server = request.getfixturevalue(request.param)
    return made


def stacks_of(cloud: Cloud, server: Server, nonce: str = "n1") -> Stacks:
    return cloud.stacks(cloud.target(server.env, nonce, sql=server.setting))


def refused(code: Code, plan: ScorchPlan, stacks: Stacks, execute: Execute) -> str:
    assert code in [each.code for each in plan.refusals]
    with pytest.raises(Refused) as caught:
        execute(plan, stacks)
    assert caught.value.code == code
    return str(caught.value)


def test_everything_goes_but_the_marker(cloud: Cloud, server: Server, scorch: Execute) -> None:
    name = server.create("trips", *TABLES)
    result = scorch(stacks_of(cloud, server), ("trips",))
    assert server.tables(name) == {"daybreak_marker"}
    assert result.deleted == {"sql": 3}
    with create_engine(server.url(name), poolclass=NullPool).connect() as connection:
        assert read_marker(connection) == (server.env, "n1")


def test_the_plan_names_each_object_and_no_secret(cloud: Cloud, server: Server, plan: Plan) -> None:
    server.create("trips", *TABLES)
    made = plan(stacks_of(cloud, server), ("trips",))
    labels = {label.split(".")[-1].split(" ")[-1] for label in made.items[0].detail["objects"]}
    assert labels == {"owners", "cars", "fleet"}
    assert made.size == 3
    shown = "\n".join(made.lines())
    assert "cars" in shown
    assert f":{make_url(server.admin_url).password or 'no-password'}@" not in shown


def test_an_empty_or_missing_database_is_no_item(cloud: Cloud, server: Server, plan: Plan) -> None:
    server.create("trips")
    # Of a creation that was killed before its marker was written.
    blank = server.create("blank")
    server.run(blank, "DROP TABLE daybreak_marker")
    made = plan(stacks_of(cloud, server), ("trips", "not_there_yet", "blank"))
    assert (made.items, made.refusals) == ((), ())


def test_a_declared_database_without_a_marker_refuses_everything(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    trips, billing = server.create("trips", *TABLES), server.create("billing", *TABLES)
    server.run(billing, "DROP TABLE daybreak_marker")
    stacks = stacks_of(cloud, server)
    message = refused(Code.MARKER_MISSING, plan(stacks, ("trips", "billing")), stacks, execute)
    assert billing in message
    assert {"cars", "owners"} <= server.tables(trips) & server.tables(billing)
    assert cloud.mutations == []


@pytest.mark.parametrize("marker", [("somebody-else", "n1"), (None, "n0")])
def test_a_declared_database_with_another_marker_refuses_everything(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute, marker: tuple[str | None, str]
) -> None:
    name = server.create("trips", *TABLES, marker=(marker[0] or server.env, marker[1]))
    stacks = stacks_of(cloud, server)
    refused(Code.MARKER_MISMATCH, plan(stacks, ("trips",)), stacks, execute)
    assert "cars" in server.tables(name)


def test_the_previous_nonce_is_accepted_while_a_rotation_is_unfinished(
    cloud: Cloud, server: Server, scorch: Execute
) -> None:
    name = server.create("trips", *TABLES)
    stacks = cloud.stacks(cloud.target(server.env, "n2", sql=server.setting), nonces=["n1"])
    scorch(stacks, ("trips",))
    assert server.tables(name) == {"daybreak_marker"}


def test_the_marker_is_compared_again_just_before(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    name = server.create("trips", *TABLES)
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips",))
    server.run(name, "UPDATE daybreak_marker SET nonce = 'n9'")
    with pytest.raises(Refused) as caught:
        execute(made, stacks)
    assert caught.value.code == Code.MARKER_MISMATCH
    assert "cars" in server.tables(name)


def test_a_database_that_the_catalog_does_not_name_goes_by_its_marker_alone(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    ours = server.create("yesterday", *TABLES)
    unnamed = server.create(f"x{server.env}", *TABLES, env="archive")  # marked ours, named otherwise
    by_hand = server.create("by_hand", *TABLES)
    server.run(by_hand, "DROP TABLE daybreak_marker")
    older = server.create("older", *TABLES, marker=(server.env, "n0"))
    twin = server.create("trips", *TABLES, marker=(f"{server.env}0", "n1"), env=f"{server.env}0")
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips",))
    assert {item.detail["database"] for item in made.items} == {ours, unnamed}
    assert {each.identifier.rsplit("/", 1)[-1]: each.code for each in made.orphans} == {
        by_hand: Code.MARKER_MISSING, older: Code.MARKER_MISMATCH,
    }  # fmt: skip
    execute(made, stacks)
    assert server.tables(ours) == server.tables(unnamed) == {"daybreak_marker"}
    assert all("cars" in server.tables(each) for each in (by_hand, older, twin))


def test_the_registry_is_never_touched_even_with_our_marker(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    declared, other = server.create("trips", *TABLES), server.create("registry", *TABLES)
    stacks = stacks_of(cloud, server)
    # The registry's URL says "localhost" where the environment's says otherwise: the name is what counts.
    same = make_url(server.url(other)).set(host="localhost").render_as_string(False)
    made = plan(stacks, ("trips",), forbidden_urls=[same])
    assert [item.detail["database"] for item in made.items] == [declared]
    refused_plan = plan(stacks, ("trips",), forbidden_urls=[server.url(declared)])
    assert [each.code for each in refused_plan.refusals] == [Code.FORBIDDEN_DATABASE]
    with pytest.raises(Refused) as caught:
        execute(made, stacks, forbidden_urls=[server.url(declared)])
    assert caught.value.code == Code.FORBIDDEN_DATABASE
    assert "cars" in server.tables(declared) & server.tables(other)


def test_a_plan_s_database_must_still_be_the_environment_s(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    name = server.create("trips", *TABLES)
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips",))
    moved = Item(Kind.SQL, "postgresql://elsewhere/trips", "trips", "", made.items[0].detail)
    forged = ScorchPlan(made.environment, made.account, made.region, made.nonces, (moved,))
    with pytest.raises(Refused) as caught:
        execute(forged, stacks)
    assert caught.value.code == Code.FORBIDDEN_DATABASE
    assert "cars" in server.tables(name)


def test_a_table_made_after_the_plan_stays(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    name = server.create("trips", *TABLES)
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips",))
    server.run(name, "CREATE TABLE late (id INT)")
    execute(made, stacks)
    assert server.tables(name) == {"daybreak_marker", "late"}


def test_executing_again_after_a_crash_goes_on(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute
) -> None:
    trips, billing = server.create("trips", *TABLES), server.create("billing", *TABLES)
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips", "billing"))
    server.run(trips, "DROP VIEW fleet", "DROP TABLE cars")
    execute(made, stacks)
    execute(made, stacks)
    assert server.tables(trips) == server.tables(billing) == {"daybreak_marker"}


@pytest.mark.parametrize("passes", [0, 2])
def test_a_lost_op_drops_nothing_more(
    cloud: Cloud, server: Server, plan: Plan, execute: Execute, passes: int
) -> None:
    """Lost before the first statement, or after MySQL's first, which is committed on its own: a view."""
    name = server.create("trips", *TABLES)
    stacks = stacks_of(cloud, server)
    made = plan(stacks, ("trips",))
    left = iter(range(passes))

    def guard() -> None:
        if next(left, None) is None:
            raise LostOp("another try")

    object.__setattr__(stacks.target, "guard", guard)
    with pytest.raises(LostOp):
        execute(made, stacks)
    assert "cars" in server.tables(name)


def test_strange_names_are_quoted(cloud: Cloud, server: Server, scorch: Execute) -> None:
    quote = '"' if server.dialect == "postgresql" else "`"
    names = ["Order", "a b", "x:y", "100%", "semi;colon", "quo'te", "Ünï"]
    name = server.create(
        "trips", *[f"CREATE TABLE {quote}{each}{quote} (id INT)".replace("%", "%%") for each in names]
    )
    assert len(server.tables(name)) == len(names) + 1
    scorch(stacks_of(cloud, server), ("trips",))
    assert server.tables(name) == {"daybreak_marker"}


@pytest.mark.postgres
def test_postgresql_s_other_objects_go_and_extensions_grants_and_schemas_of_the_system_stay(
    cloud: Cloud, postgres: Server, scorch: Execute
) -> None:
    name = postgres.create(
        "trips",
        *TABLES,
        "CREATE EXTENSION vector",
        "CREATE TYPE color AS ENUM ('red')",
        "CREATE DOMAIN plate AS text CHECK (length(value) < 9)",
        "CREATE TYPE pair AS (a int, b color)",
        "CREATE TYPE span AS RANGE (subtype = int)",
        "CREATE SEQUENCE numbers",
        "CREATE TABLE paint (id serial PRIMARY KEY, c color, p plate, e vector(3))",
        "CREATE TABLE days (d date) PARTITION BY RANGE (d)",
        "CREATE TABLE day1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM cars",
        "CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql AS 'SELECT x * 2'",
        "CREATE FUNCTION twice(x text) RETURNS text LANGUAGE sql AS 'SELECT x || x'",
        "CREATE FUNCTION of_paint(paint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE cars ADD COLUMN double int DEFAULT twice(1)",
        "CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE summed(int) (SFUNC = int4pl, STYPE = int)",
        "CREATE SCHEMA reports",
        "CREATE TABLE reports.monthly (id int)",
        "CREATE SCHEMA empty",
        "GRANT CREATE ON SCHEMA public TO public",
    )
    before = postgres.run(name, "SELECT nspacl::text, nspowner FROM pg_namespace WHERE nspname = 'public'")
    scorch(stacks_of(cloud, postgres), ("trips",))
    assert postgres.tables(name) == {"daybreak_marker"}
    left = postgres.run(
        name,
        """SELECT proname::text FROM pg_proc p JOIN pg_namespace n
        ON n.oid = pronamespace AND nspname = 'public'
             WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND deptype = 'e')
           UNION ALL SELECT typname::text FROM pg_type t JOIN pg_namespace n
             ON n.oid = typnamespace AND nspname = 'public' WHERE typname NOT LIKE '%%daybreak_marker'
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid IN (t.oid, t.typelem) AND deptype = 'e')
           UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname IN ('reports', 'empty')""",
    )
    assert left == []
    assert postgres.run(name, "SELECT '[1,2,3]'::vector <-> '[1,2,3]'::vector") == [(0.0,)]
    after = postgres.run(name, "SELECT nspacl::text, nspowner FROM pg_namespace WHERE nspname = 'public'")
    assert after == before


@pytest.mark.postgres
def test_postgresql_drops_nothing_when_something_unplanned_would_go_with_it(
    cloud: Cloud, postgres: Server, plan: Plan, execute: Execute
) -> None:
    name = postgres.create("trips", *TABLES)
    stacks = stacks_of(cloud, postgres)
    made = plan(stacks, ("trips",))
    postgres.run(name, "CREATE VIEW late AS SELECT id FROM cars")
    result = execute(made, stacks)
    assert [each.code for each in result.skipped] == [Code.CHANGED]
    assert "public.late" in result.skipped[0].reason
    assert {"cars", "owners", "fleet", "late"} <= postgres.tables(name)


@pytest.mark.postgres
def test_postgresql_knows_a_table_that_was_made_anew_under_an_old_name(
    cloud: Cloud, postgres: Server, plan: Plan, execute: Execute
) -> None:
    name = postgres.create("trips", "CREATE TABLE cars (id int)")
    stacks = stacks_of(cloud, postgres)
    made = plan(stacks, ("trips",))
    postgres.run(name, "DROP TABLE cars", "CREATE TABLE cars (id int)")
    execute(made, stacks)
    assert postgres.tables(name) == {"daybreak_marker", "cars"}


@pytest.mark.postgres
def test_postgresql_keeps_a_schema_in_which_something_new_lives(
    cloud: Cloud, postgres: Server, plan: Plan, execute: Execute
) -> None:
    name = postgres.create("trips", "CREATE SCHEMA reports", "CREATE TABLE reports.old (id int)")
    stacks = stacks_of(cloud, postgres)
    made = plan(stacks, ("trips",))
    postgres.run(name, "CREATE TABLE reports.late (id int)")
    result = execute(made, stacks)
    assert postgres.tables(name) == {"daybreak_marker", "late"}
    assert "schema reports stayed" in result.skipped[0].reason


@pytest.mark.postgres
def test_a_writer_that_holds_a_lock_fails_that_database_and_drops_nothing_of_it(
    cloud: Cloud, postgres: Server, plan: Plan, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daybreak.environment.scorch import postgres as dialect

    monkeypatch.setattr(dialect, "LOCK_TIMEOUT", "100ms")
    locked, free = postgres.create("locked", *TABLES), postgres.create("free", *TABLES)
    stacks = stacks_of(cloud, postgres)
    made = plan(stacks, ("locked", "free"))
    with create_engine(postgres.url(locked), poolclass=NullPool).begin() as writer:
        writer.execute(text("LOCK TABLE owners IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(ScorchFailed, match="lock timeout"):
            execute(made, stacks)
    assert {"cars", "owners", "fleet"} <= postgres.tables(locked)
    assert postgres.tables(free) == {"daybreak_marker"}


@pytest.mark.mariadb
def test_mariadb_s_other_objects_go(cloud: Cloud, mariadb: Server, scorch: Execute) -> None:
    name = mariadb.create(
        "trips",
        *TABLES,
        "CREATE TRIGGER t BEFORE INSERT ON cars FOR EACH ROW SET NEW.id = NEW.id + 1",
        "CREATE PROCEDURE nothing() SELECT 1",
        "CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1",
        "CREATE EVENT tick ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE SEQUENCE numbers",
    )
    result = scorch(stacks_of(cloud, mariadb), ("trips",))
    assert mariadb.tables(name) == {"daybreak_marker"}
    assert result.deleted == {"sql": 7}
    assert (
        mariadb.run(
            name,
            f"SELECT routine_name FROM information_schema.routines WHERE routine_schema = '{name}'"
            f" UNION SELECT event_name FROM information_schema.events WHERE event_schema = '{name}'",
        )
        == []
    )


def test_a_server_that_does_not_answer_refuses_everything(cloud: Cloud, plan: Plan, execute: Execute) -> None:
    target = cloud.target(sql="postgresql+psycopg2://u:s3cret@127.0.0.1:1/{database}")
    stacks = cloud.stacks(target)
    made = plan(stacks, ("trips",))
    message = refused(Code.MARKER_UNREADABLE, made, stacks, execute)
    assert "s3cret" not in message
    assert cloud.mutations == []


def test_other_kinds_of_database_are_a_mistake_in_the_settings(cloud: Cloud, plan: Plan) -> None:
    stacks = cloud.stacks(cloud.target(sql="sqlite:///{database}"))
    with pytest.raises(UsageError, match="PostgreSQL or MySQL"):
        plan(stacks, ("trips",))
    with pytest.raises(UsageError, match="no `sql` URL"):
        plan(cloud.stacks(cloud.target()), ("trips",))
