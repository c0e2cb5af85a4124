"""Artifacts: complete or not there, fetched once, verified."""

import json
from pathlib import Path

import pytest

from daybreak.build.artifact import Artifacts, DamagedArtifact
from daybreak.store import NotInStore, Store


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(Store((tmp_path / "store").as_uri()))


def folder_with(path: Path, text: str = "one") -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "one.txt").write_text(text)
    (path / "deep/run").write_text("#!/bin/sh\n")
    (path / "deep/run").chmod(0o755)
    (path / "deep/link").symlink_to("run")
    (path / "folder-link").symlink_to("deep")
    return path


def test_a_folder_comes_back_as_it_was(artifacts, tmp_path):
    artifacts.save("geo", "k1", "c1", folder_with(tmp_path / "made"), {"type": "package"})
    folder = artifacts.fetch("geo", "k1", tmp_path / "home")
    assert folder == tmp_path / "home/artifacts/geo/k1"
    assert (folder / "one.txt").read_text() == "one"
    assert (folder / "deep/run").stat().st_mode & 0o777 == 0o755
    assert (folder / "deep/link").readlink() == Path("run")
    assert (folder / "folder-link").readlink() == Path("deep")
    manifest = artifacts.manifest("geo", "k1")
    assert (manifest.commit, manifest.meta) == ("c1", {"type": "package"})
    assert list((tmp_path / "home/tmp").iterdir()) == []


def test_it_exists_only_with_its_manifest(artifacts, tmp_path):
    assert not artifacts.exists("geo", "k1")
    artifacts.store.put("artifacts/geo/k1/abc/one.txt", b"half an upload")
    assert not artifacts.exists("geo", "k1")
    with pytest.raises(NotInStore):
        artifacts.fetch("geo", "k1", tmp_path / "home")
    artifacts.save("geo", "k1", "c1", folder_with(tmp_path / "made"))
    assert artifacts.exists("geo", "k1")


def test_the_first_of_two_builders_counts_and_stays_whole(artifacts, tmp_path):
    artifacts.save("geo", "k1", "c1", folder_with(tmp_path / "first", "first"))
    artifacts.save("geo", "k1", "c2", folder_with(tmp_path / "second", "second"))
    assert (artifacts.fetch("geo", "k1", tmp_path / "home") / "one.txt").read_text() == "first"


def test_a_damaged_file_is_refused_and_nothing_is_kept(artifacts, tmp_path):
    artifacts.save("geo", "k1", "c1", folder_with(tmp_path / "made"))
    (path,) = [path for path in artifacts.store.list("artifacts") if path.endswith("one.txt")]
    artifacts.store.put(path, b"other")
    with pytest.raises(DamagedArtifact, match=r"one\.txt of geo k1 is not what was saved"):
        artifacts.fetch("geo", "k1", tmp_path / "home")
    assert not (tmp_path / "home/artifacts/geo/k1").exists()


def test_the_manifest_is_plain_json_with_hashes(artifacts, tmp_path):
    artifacts.save("geo", "k1", "c1", folder_with(tmp_path / "made"))
    data = json.loads(artifacts.store.get("artifacts/geo/k1/manifest.json"))
    assert [(item["path"], item["link"]) for item in data["files"]] == [
        ("deep/link", "run"), ("deep/run", None), ("folder-link", "deep"), ("one.txt", None),
    ]  # fmt: skip
