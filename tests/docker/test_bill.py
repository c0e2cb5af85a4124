"""What is in an image beside the team's code: the bill of materials in the store, and OS packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daybreak.build.images.builds import built
from daybreak.build.locks import normalised
from daybreak.settings import BuildSettings, EngineSettings
from daybreak.store import Store
from tests.docker.conftest import Yard, pinned
from tests.docker.test_image import DOCKERFILE, own

LOCK = pinned("markupsafe", "itsdangerous")


def installed(yard: Yard, image: str) -> set[tuple[str, str]]:
    """The distributions that the image's own pip finds."""
    listed = yard.says(image, "python", "-m", "pip", "list", "--format=json")
    return {(normalised(each["name"]), each["version"]) for each in json.loads(listed)}


def test_the_bill_in_the_store_lists_exactly_what_is_installed(yard: Yard, tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri())
    images = yard.settings.model_copy(update={"engine": EngineSettings(url=yard.engine.url)})

    def bill(folder: Path, key: str) -> tuple[str, dict[str, Any]]:
        image = built(
            "hello", folder, key, "c" * 40, store, yard.home, BuildSettings(images=images), yard.log.append
        )
        return image.tag, json.loads(store.get(f"images/hello/{image.tag.rpartition(':')[2]}/sbom.json"))

    for folder, key in (
        (yard.artifact(key="a1", lock=LOCK), "a1"),
        (own(yard, "hello", "a2", LOCK, DOCKERFILE).folder, "a2"),
    ):
        tag, said = bill(folder, key)
        assert {(each["name"], each["version"]) for each in said["components"]} == installed(yard, tag), key
        assert ("hello", "1.0") in installed(yard, tag)
        assert said["metadata"]["component"]["version"] == key
        [named] = said["metadata"]["component"]["properties"]
        assert named["value"] == yard.client.images.get(tag).id
        assert len(said["components"]) == len({each["purl"] for each in said["components"]})

    # Who built it was killed before the bill was written: the next one who asks for the image writes it.
    for path in store.list("images/hello"):
        (tmp_path / "store" / path).unlink()
    yard.log.clear()
    assert bill(folder, "a2") == (tag, said)
    assert yard.log == [], "nothing is built for that"


@pytest.mark.deep
def test_an_os_package_of_the_recipe_is_in_the_image_and_in_its_base_s_key(yard: Yard) -> None:
    plain = yard.images.service(yard.recipe(key="a1", lock=LOCK), "a1", "c" * 40)
    with_tree = yard.images.service(yard.recipe(key="a2", lock=LOCK, os_packages=["tree"]), "a2", "c" * 40)
    status = ("dpkg-query", "--show", "--showformat=${Status}", "tree")
    assert yard.says(with_tree.tag, *status) == "install ok installed"
    assert yard.says(with_tree.tag, "sh", "-c", "tree --version | cut -c1-6") == "tree v\n"
    assert yard.says(plain.tag, "sh", "-c", "command -v tree || echo none") == "none\n"
    assert yard.says(with_tree.tag, "sh", "-c", "ls /var/lib/apt/lists") == "", "its lists are not kept"

    def base(tag: str) -> str:
        return str(yard.client.images.get(tag).labels["dev.daybreak.base"])

    assert base(plain.tag) != base(with_tree.tag)
    named = {tag for image in yard.client.images.list("daybreak/daybreak-base") for tag in image.tags}
    assert named == {base(plain.tag), base(with_tree.tag)}, "what a base is laid on has no name of its own"
    # The same packages in another order are the same base; one more is another.
    again = yard.recipe("other", "b1", lock=LOCK, os_packages=["tree"])
    assert yard.images.base(again).tag == base(with_tree.tag)
    digests, platform = {"python:3.13-slim": "x"}, "linux/amd64"
    keys = {
        names: yard.recipe("third", f"k{number}", lock=LOCK, os_packages=names).base_key(digests, platform)
        for number, names in enumerate([("tree", "file"), ("file", "tree"), ("tree",), ()])
    }
    assert keys["tree", "file"] == keys["file", "tree"]
    assert len(set(keys.values())) == 3
