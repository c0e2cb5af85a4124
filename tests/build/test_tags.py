"""Images by when they were made, as engines write it."""

from __future__ import annotations

from types import SimpleNamespace

from daybreak.build.images.tags import created, named


def test_two_images_of_one_second_have_an_order() -> None:
    said = ["56.000000001Z", "55.1Z", "55.12Z", "55Z", "54Z", "55.123456789Z", "55.000009Z"]
    images = [SimpleNamespace(attrs={"Created": f"2026-11-27T03:21:{each}"}) for each in said]
    assert [said[images.index(each)] for each in sorted(images, key=created)] == [
        "54Z", "55Z", "55.000009Z", "55.1Z", "55.12Z", "55.123456789Z", "56.000000001Z",
    ]  # fmt: skip
    assert len({created(each) for each in images}) == len(images)


def test_the_host_of_a_registry_may_have_a_port() -> None:
    assert named("127.0.0.1:5000/acme/fleet:a1-b2") == ("127.0.0.1:5000/acme/fleet", "a1-b2")
    assert named("127.0.0.1:5000/acme/fleet") == ("127.0.0.1:5000/acme/fleet", "latest")
    assert named("python:3.13-slim") == ("python", "3.13-slim")


def test_an_image_that_is_pinned_by_digest_is_asked_for_by_it() -> None:
    digest = f"sha256:{'a' * 64}"
    for said in ("python", "python:3.13-slim"):
        assert named(f"{said}@{digest}") == ("python", digest)
    assert named(f"127.0.0.1:5000/acme/fleet:a1@{digest}") == ("127.0.0.1:5000/acme/fleet", digest)
