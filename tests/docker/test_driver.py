"""The docker driver on a real engine: rolling, the way back, what is seen from outside, what goes."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.drivers import driver_for
from daybreak.deploy.host import ServiceUnhealthy
from daybreak.errors import LostOp
from daybreak.settings import EnvironmentSettings
from tests.docker.conftest import Yard

HELLO = CatalogResource(
    "hello", ResourceType.SERVICE, options={"healthy_seconds": 20, "memory": "64m", "cpus": 1}
)
OTHER = CatalogResource("other", ResourceType.SERVICE, options={"healthy_seconds": 20})
DRIVER = driver_for(HELLO)


@dataclass
class Deployer:
    """Deploys services of one yard."""

    yard: Yard
    lost: Exception | None = None
    engine: dict[str, Any] | None = None
    log: list[str] = field(default_factory=list)

    def guard(self) -> None:
        if self.lost:
            raise self.lost

    def target(self, name: str = "dev-01", **variables: str) -> Target:
        at = self.engine or {"url": self.yard.engine.url}
        settings = EnvironmentSettings(name=name, account="000000000001", runtime="docker", engine=at)
        return Target(
            environment=settings, nonce="n1", session=None, endpoint_url=None, stack={}, home=self.yard.home,
            guard=self.guard, variables=variables, log=self.log.append,
        )  # fmt: skip

    def deploy(self, resource: CatalogResource, key: str, name: str = "dev-01", **variables: str) -> str:
        folder = self.yard.home / "artifacts" / resource.name / key
        if not folder.exists():
            self.yard.artifact(resource.name, key)
        package = Package(resource.name, key, "c" * 40, folder)
        return DRIVER.deploy(resource, package, self.target(name, **variables))[
            f"{resource.name.upper()}_URL"
        ]

    def observe(self, resource: CatalogResource = HELLO, name: str = "dev-01") -> str | None:
        return DRIVER.observe(resource, self.target(name))


@pytest.fixture
def deployer(yard: Yard) -> Deployer:
    return Deployer(yard)


def asked(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return dict(json.loads(answer.read()))


def test_a_service_rolls_without_a_gap_and_its_address_stays(deployer: Deployer) -> None:
    url = deployer.deploy(HELLO, "a1", DATABASE_URL="postgresql://u:secret@db.example/d", SAY="secret")
    found = asked(url)
    assert (found["CODE"], found["DATABASE_URL"]) == ("a1", "postgresql://u:secret@db.example/d")
    assert "hello: serving ***" in deployer.log, "what it says when it starts is in the run's log"
    assert deployer.observe() == "a1"
    [container] = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.role=service"})
    assert container.attrs["HostConfig"]["Memory"] == 64 * 2**20
    assert container.attrs["HostConfig"]["CapDrop"] == ["ALL"]

    # The same again changes nothing.
    deployer.deploy(HELLO, "a1", DATABASE_URL="postgresql://u:secret@db.example/d", SAY="secret")
    assert deployer.log[-1] == "hello a1 runs already"

    answers, over = [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(asked(url)["CODE"])
            except (OSError, ValueError) as error:
                answers.append(repr(error))
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    assert deployer.deploy(HELLO, "a2") == url
    over.set()
    asking.join()
    assert set(answers) == {"a1", "a2"}, "somebody met nobody"
    assert deployer.observe() == "a2"
    assert deployer.observe(name="dev-02") is None

    # Another environment has its own, and its neighbour is called by its name.
    theirs = deployer.deploy(HELLO, "a1", "dev-02")
    assert theirs != url
    named = asked(deployer.deploy(OTHER, "b1", HELLO_URL=url))
    assert named["HELLO_URL"] == "http://hello:8000"
    said = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.resource=other"})
    inside = next(each for each in said if each.labels["dev.daybreak.role"] == "service")
    reach = "import urllib.request; print(urllib.request.urlopen('http://hello:8000/').status)"
    assert inside.exec_run(["python", "-c", reach]).output == b"200\n"

    # Taken away: what is theirs alone, and nothing without our label.
    stranger = deployer.yard.client.containers.run(
        "python:3.13-slim", ["sleep", "60"], detach=True, network="daybreak-dev-02", init=True
    )
    for resource in (HELLO, OTHER):
        DRIVER.destroy(resource, deployer.target())
    DRIVER.destroy(HELLO, deployer.target("dev-02"))
    left = [each.id for each in deployer.yard.client.containers.list(all=True)]
    assert left == [stranger.id]
    networks = {each.name for each in deployer.yard.client.networks.list()}
    assert "daybreak-dev-01" not in networks
    assert "daybreak-dev-02" in networks, "somebody is still in it"
    assert DRIVER.provides(HELLO, deployer.target()) == {}
    DRIVER.destroy(HELLO, deployer.target())


def test_one_that_never_becomes_healthy_is_taken_back_and_the_old_one_goes_on(deployer: Deployer) -> None:
    url = deployer.deploy(HELLO, "a1")
    secret = "postgresql://u:topsecret@db.example/d"
    with pytest.raises(
        ServiceUnhealthy, match=r"(?s)keeps crashing.*no database at.*hello a1 runs on"
    ) as caught:
        deployer.deploy(HELLO, "a2", HEALTHY="crash", DATABASE_URL=secret)
    assert "topsecret" not in str(caught.value)
    slow = CatalogResource("hello", ResourceType.SERVICE, options={"healthy_seconds": 1})
    with pytest.raises(ServiceUnhealthy, match="did not become healthy in time"):
        deployer.deploy(slow, "a3", HEALTHY="no")
    deployer.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        deployer.deploy(HELLO, "a4")
    deployer.lost = None
    assert asked(url)["CODE"] == "a1"
    assert deployer.observe() == "a1"
    assert len(deployer.yard.client.containers.list(all=True)) == 2, "the service and its front"


def test_who_changed_a_container_by_hand_is_found(deployer: Deployer) -> None:
    deployer.deploy(HELLO, "a1")
    client = deployer.yard.client
    [container] = client.containers.list(filters={"label": "dev.daybreak.role=service"})
    library = (
        container.exec_run(["python", "-c", "import hello; print(hello.__file__)"]).output.decode().strip()
    )
    container.exec_run(["sh", "-c", f"echo '# mended' >> {library}"], user="root")
    assert deployer.observe() is None
    assert library in deployer.log[-1]
    deployer.deploy(HELLO, "a1", SAY="again")
    assert deployer.observe() == "a1"

    # Somebody else's container under the service's name.
    network = client.networks.get("daybreak-dev-01")
    stranger = client.containers.run(
        "python:3.13-slim", ["sleep", "60"], detach=True, init=True, network_mode="none"
    )
    client.networks.get("none").disconnect(stranger)
    network.connect(stranger, aliases=["hello"])
    assert deployer.observe() is None


def test_a_service_says_where_its_health_is_asked(deployer: Deployer) -> None:
    deployer.yard.artifact("hello", "a1", health="/alive")
    assert asked(deployer.deploy(HELLO, "a1"))["CODE"] == "a1"
    assert deployer.observe() == "a1"


def test_what_a_killed_deploy_left_goes_with_the_next_one_also_back_to_what_runs(deployer: Deployer) -> None:
    """The lane's way back: the candidate's deploy was killed, and the version before it runs still."""
    deployer.deploy(HELLO, "a1")
    deployer.yard.artifact("hello", "a2")
    client = deployer.yard.client

    def candidates() -> list[Any]:
        return client.containers.list(filters={"label": "dev.daybreak.key=a2"})

    words = {"resource": HELLO, "key": "a2", "HEALTHY": "no"}
    deploying = multiprocessing.get_context("fork").Process(target=deployer.deploy, kwargs=words)
    deploying.start()
    limit = time.monotonic() + 60
    while not candidates():
        assert time.monotonic() < limit
        time.sleep(0.05)
    deploying.kill()
    deploying.join()
    assert candidates()

    deployer.deploy(HELLO, "a1")
    assert deployer.log[-1] == "hello a1 runs already"
    assert candidates() == []
    assert deployer.observe() == "a1"


def test_a_front_that_somebody_stopped_is_drift_and_the_next_deploy_brings_it_back(
    deployer: Deployer,
) -> None:
    url = deployer.deploy(HELLO, "a1")
    [front] = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.role=front"})
    front.stop(timeout=1)
    assert deployer.observe() is None
    assert "front" in deployer.log[-1]
    assert deployer.deploy(HELLO, "a1") == url
    assert asked(url)["CODE"] == "a1"
    assert deployer.observe() == "a1"


def test_a_front_that_crashed_now_and_then_and_is_well_fails_no_deploy(deployer: Deployer) -> None:
    url = deployer.deploy(HELLO, "a1")
    [front] = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.role=front"})
    limit = time.monotonic() + 60
    for number in range(1, 4):
        # From inside, so that the engine takes it for a crash: all but its init, which ends with them.
        front.exec_run(["sh", "-c", "kill -9 -1"])
        while front.attrs["RestartCount"] < number or front.status != "running":
            assert time.monotonic() < limit
            time.sleep(0.05)
            front.reload()

    assert deployer.deploy(HELLO, "a2") == url
    assert asked(url)["CODE"] == "a2"
    again = deployer.yard.client.containers.get(front.id)
    assert again.attrs["RestartCount"] == 3, "it is the same front, and nobody forgot what it went through"


def test_two_machines_that_deploy_into_one_environment_at_once_share_its_network(
    yard: Yard, tmp_path: Path
) -> None:
    """Workers that share the engine, and no disk: a task each for two services."""
    machines = [Deployer(yard), Deployer(Yard(yard.engine, tmp_path / "other", yard.client))]
    services = (HELLO, OTHER)
    for deployer, service in zip(machines, services, strict=True):
        deployer.deploy(service, "a1", "dev-00")
    for number in range(1, 4):
        environment = f"dev-0{number}"
        with ThreadPoolExecutor(2) as pool:
            asked_for = [
                pool.submit(deployer.deploy, service, "a1", environment)
                for deployer, service in zip(machines, services, strict=True)
            ]
            for each in asked_for:
                assert asked(each.result())["CODE"] == "a1"
        named = [each for each in yard.client.networks.list() if each.name == f"daybreak-{environment}"]
        assert len(named) == 1
        assert [machines[0].observe(service, environment) for service in services] == ["a1", "a1"]


def test_what_listens_on_this_machine_only_is_reached_through_the_network(deployer: Deployer) -> None:
    import http.server

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        local = f"http://127.0.0.1:{server.server_address[1]}"
        found = asked(deployer.deploy(HELLO, "a1", AWS_ENDPOINT_URL=local))["AWS_ENDPOINT_URL"]
        assert found != local
        [container] = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.role=service"})
        reach = f"import urllib.request; print(urllib.request.urlopen({found!r}).status)"
        assert container.exec_run(["python", "-c", reach]).output == b"200\n"
        # The way there is made anew when somebody stopped it.
        [way] = deployer.yard.client.containers.list(filters={"label": "dev.daybreak.role=loopback"})
        way.stop(timeout=1)
        deployer.deploy(HELLO, "a1", AWS_ENDPOINT_URL=local)
        assert container.exec_run(["python", "-c", reach]).output == b"200\n"
    finally:
        server.shutdown()
        server.server_close()
