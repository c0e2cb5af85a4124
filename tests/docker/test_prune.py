"""What goes and what stays: an image that runs, that a revert may need, that another one stands on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from daybreak.build.images.prune import prune
from daybreak.settings import ImageSettings
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
