"""What goes and what stays: an image that runs, that a revert may need, that another one stands on."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest
from sqlalchemy import Engine as Registry

from daybreak.build.images.engine import KEY, RESOURCE
from daybreak.build.images.prune import prune
from daybreak.environment.images import PruneFailed, prune_all
from daybreak.environment.installation import Installation
from daybreak.settings import ImageSettings, Settings
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
