"""What goes and what stays: an image that runs, that a revert may need, that another one stands on."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest
from sqlalchemy import Engine as Registry

from daybreak.build.images.engine import KEY, RESOURCE, UNTIL
from daybreak.build.images.engine_build import Order, make
from daybreak.build.images.prune import prune
from daybreak.build.images.tags import created
from daybreak.build.process import shell
from daybreak.environment.images import PruneFailed, prune_all
from daybreak.environment.installation import Installation
from daybreak.settings import EngineSettings, ImageSettings, Settings
from daybreak.store import Store
from tests.docker.conftest import Yard, pinned


def test_what_runs_and_what_a_revert_needs_stays(yard: Yard) -> None:
    yard.settings = ImageSettings(keep=1, keep_days=2)
    old, new = pinned("blinker"), pinned("itsdangerous")
    made = {
        key: yard.images.service(yard.recipe(key=key, lock=lock), key, "c" * 40)
        for key, lock in (("a1", old), ("a2", old), ("a3", new), ("a4", new))
    }
    bases = {
        key: yard.client.images.get(image.tag).labels["dev.daybreak.base"] for key, image in made.items()
    }
    # It has ended, but a restarted engine would start it.
    yard.client.containers.create(made["a3"].tag)
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=3)

    assert prune(yard.images, set(), now) == [], "nothing is old enough"
    gone = prune(yard.images, {("hello", "a2")}, later)

    assert [each.tag for each in gone] == [made["a1"].tag]
    left = {tag for image in yard.client.images.list() for tag in image.tags}
    # a2 is named, a3 has a container, a4 is the newest; and what they stand on.
    assert {made["a2"].tag, made["a3"].tag, made["a4"].tag, bases["a2"], bases["a4"]} <= left
    # The revert: nothing is built for it.
    yard.log.clear()
    assert yard.images.service(yard.recipe(key="a2b", lock=old), "a2", "c" * 40).id == made["a2"].id
    assert yard.log == []

    # Main's next build starts from a base that nothing stands on yet.
    fresh = yard.images.base(yard.recipe("other", "b1", lock=old + new)).tag
    assert fresh not in {each.tag for each in prune(yard.images, {("hello", "a2")}, later, {fresh})}
    assert [each.tag for each in prune(yard.images, {("hello", "a2")}, later)] == [fresh]

    # Nobody needs it any more: it goes, and its base with it.
    assert {each.tag for each in prune(yard.images, set(), later)} == {made["a2"].tag, bases["a2"]}


def test_a_container_whose_time_is_over_keeps_no_image(yard: Yard) -> None:
    """Nobody removed it: who waited for it was killed."""
    yard.settings = ImageSettings(keep=1, keep_days=2)
    images = [built(yard, f"daybreak/trips:{key}-1", key, own=False) for key in ("a1", "a2", "a3")]
    for name, image, seconds in (("gone", images[0], -1), ("waits", images[1], 600)):
        label = {UNTIL: str(int(time.time() + seconds))}
        yard.client.containers.create(image, ["/a"], name=name, labels=label)
    gone = prune(yard.images, set(), datetime.now(UTC) + timedelta(days=3))
    assert [each.tag for each in gone] == ["daybreak/trips:a1-1"]
    assert [each.name for each in yard.client.containers.list(all=True)] == ["waits"]


def built(yard: Yard, tag: str, key: str, *, own: bool) -> str:
    """The id of a small image of the service `trips`."""
    (yard.home / "context").mkdir(parents=True, exist_ok=True)
    (yard.home / "context" / "a").write_text("a")
    labels = {RESOURCE: "trips", KEY: key}
    order = Order(yard.home / "context", "FROM scratch\nCOPY a /a\n", tag, labels, own=own)
    with shell(yard.home, yard.home / "logs" / "small.log", timeout=60, passed=()) as sh:
        return make(yard.client, EngineSettings(url=yard.engine.url), yard.settings, order, sh)


def dated(yard: Yard, tag: str, when: str) -> None:
    """Have ``tag`` be the same image with another ``Created``, as BuildKit leaves it."""
    was, now = io.BytesIO(b"".join(yard.client.images.get(tag).save())), io.BytesIO()
    with tarfile.open(fileobj=was) as saved, tarfile.open(fileobj=now, mode="w") as loaded:
        [said] = json.load(saved.extractfile("manifest.json"))
        config = json.dumps({**json.load(saved.extractfile(said["Config"])), "created": when}).encode()
        manifest = json.dumps([{**said, "Config": "config.json", "RepoTags": [tag]}]).encode()
        for name, content in (
            ("config.json", config), ("manifest.json", manifest),
            *((each, saved.extractfile(each).read()) for each in said["Layers"]),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            loaded.addfile(entry, io.BytesIO(content))
    yard.client.images.remove(tag, force=True)
    yard.client.images.load(now.getvalue())


@pytest.mark.parametrize("own", [False, True], ids=["classic", "BuildKit where it is"])
def test_an_image_is_as_young_as_its_build_whatever_its_builder_says(yard: Yard, own: bool) -> None:
    """Which is the newest, and what is younger than `keep_days`, decide what stays and what is deployed."""
    yard.settings = ImageSettings(keep=1, keep_days=2)
    first, again = (built(yard, f"daybreak/trips:a1-{number}", "a1", own=own) for number in (1, 2))
    # All of it came from the cache, and it is not for its age what the first one was.
    assert created(yard.client.images.get(again)) > created(yard.client.images.get(first))

    dated(yard, "daybreak/trips:a1-2", "1980-01-01T00:00:00Z")
    image = yard.client.images.get("daybreak/trips:a1-2")
    assert image.attrs["Created"].startswith("1980-01-01")
    assert yard.images.of_key("trips", "a1").id == image.id
    now = datetime.now(UTC)
    assert prune(yard.images, set(), now) == []
    # Of the two the older one goes, which the engine takes for the younger one.
    assert [each.tag for each in prune(yard.images, set(), now + timedelta(days=3))] == [
        "daybreak/trips:a1-1"
    ]


@contextlib.contextmanager
def refusing(code: int, message: str) -> Iterator[str]:
    """The URL of a guard before an engine, as a socket proxy is one, that lets nobody through."""

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = json.dumps({"message": message}).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None: ...

    # Not pytest's tmp_path: the path of a unix socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="daybreak-guard-") as folder:
        at = Path(folder).resolve() / "docker.sock"
        with ThreadingUnixStreamServer(str(at), Guard) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"unix://{at}"
            server.shutdown()


def test_an_engine_that_cannot_be_pruned_keeps_no_other_one_from_it_and_the_whole_fails_with_all_reasons(
    yard: Yard, sqlite_registry: Registry, tmp_path: Path
) -> None:
    for kind in ("stray", "newest"):  # of each service the newest one stays
        labels = {RESOURCE: "trips", KEY: kind.ljust(64, "0")}
        made = yard.client.api.create_container("python:3.13-slim", ["true"], labels=labels)
        yard.client.api.commit(made, "daybreak/trips", kind)
        yard.client.api.remove_container(made)
    away = "unix:///nowhere/docker.sock"
    with refusing(403, "you may not") as closed, refusing(500, "write /x: no space left on device") as full:
        settings = Settings.model_validate({
            "home": str(tmp_path / "home"),
            "aws": {"accounts": {"000000000001": {}}},
            "build": {"images": {"engine": {"url": closed}, "keep": 1, "keep_days": 0}},
            "environments": [
                {"name": f"dev-0{number}", "account": "000000000001", "runtime": "docker",
                 "engine": {"url": url}}
                for number, url in enumerate((full, away, yard.engine.url))
            ],
        })  # fmt: skip
        store = Store((tmp_path / "store").as_uri())
        installation = Installation(settings, sqlite_registry, store, lambda _: pytest.fail("asks no cloud"))
        with pytest.raises(PruneFailed) as caught:
            prune_all(installation, yard.log.append)
    reasons = str(caught.value).splitlines()[1:]
    assert [reason.split(": ")[0] for reason in reasons] == [closed, full, away]
    for reason, word in zip(reasons, ("you may not", "is full", "does not answer"), strict=True):
        assert word in reason
    assert {tag for image in yard.client.images.list(filters={"label": KEY}) for tag in image.tags} == {
        "daybreak/trips:newest"
    }
    assert next(line for line in yard.log if "went" in line).startswith("daybreak/trips:stray went: ")
