"""The stories' own tools, without an engine: what Docker is told, and what a killed run left."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

import pytest

from tests.stack import images
from tests.stack.images import ROUTES, let_out, routed
from tests.stack.stacks import FROM_WHERE, Stack


def test_docker_hears_where_packages_come_from_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: f"of-{name}" for name in (*FROM_WHERE, "DOCKER_CONFIG", "STACK_SUBNET")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    said = dict(line.split("=", 1) for line in Stack(tmp_path, "unix:///of/nobody").run("env").splitlines())
    assert {name: said.get(name) for name in given} == {**given, "STACK_SUBNET": None}
    assert (said["HOME"], said["DOCKER_HOST"]) == (str(tmp_path), "unix:///of/nobody")


@pytest.mark.skipif(len(ROUTES.read_text().splitlines()) < 2, reason="a machine without a network")
def test_a_network_that_is_there_already_is_named_before_anything_is_changed() -> None:
    own = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout.split()
    address = next(each for each in own if "." in each)
    device = routed(f"{address}/32")
    assert device in {each.name for each in Path("/sys/class/net").iterdir()}
    assert routed(str(ipaddress.ip_interface(f"{address}/8").network)), "it is a part of that"
    with pytest.raises(RuntimeError, match=f"is behind {device} already"), let_out(f"{address}/32"):
        pass


def test_a_network_behind_the_default_route_alone_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *routes = ROUTES.read_text().splitlines()
    default = [each for each in routes if each.split()[7] == "00000000"]
    monkeypatch.setattr(images, "ROUTES", tmp_path / "route")
    images.ROUTES.write_text("\n".join([head, *default]))
    assert routed("203.0.113.0/24") == ""
