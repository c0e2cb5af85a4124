"""The store, on a folder and on S3."""

import threading
from pathlib import Path

import pytest

from daybreak.errors import UsageError
from daybreak.store import NotInStore, Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "a folder").as_uri())


@pytest.fixture(params=[None, 5.0], ids=["patient", "in a hurry"])
def s3(aws, s3_store, request) -> Store:
    return Store(s3_store, patience=request.param)


def check_verbs(store: Store, folder: Path) -> None:
    store.put("a/one", b"1")
    store.put("a/b/two", b"2")
    store.put("ab/three", b"3")
    store.put("a/one", b"new")
    (folder / "local").write_bytes(b"x" * 20_000_000)
    store.put("big", folder / "local")
    assert store.get("a/one") == b"new"
    assert store.list("a") == ["a/b/two", "a/one"]
    assert store.list() == ["a/b/two", "a/one", "ab/three", "big"]
    assert store.list("nothing") == []
    assert store.exists("a/one")
    assert not store.exists("a/two")
    store.get_file("big", folder / "back")
    assert (folder / "back").read_bytes() == (folder / "local").read_bytes()
    with pytest.raises(NotInStore, match="a/two is not in the store"):
        store.get("a/two")
    with pytest.raises(NotInStore):
        store.get_file("a/two", folder / "never")
    assert not (folder / "never").exists()


def test_a_folder_keeps_what_is_put_there(store, tmp_path):
    check_verbs(store, tmp_path)
    assert (tmp_path / "a folder/a/b/two").read_bytes() == b"2"


@pytest.mark.aws
def test_a_bucket_keeps_what_is_put_there(s3, tmp_path):
    check_verbs(s3, tmp_path)


def test_only_the_first_writer_of_a_path_wins(store):
    barrier = threading.Barrier(8)
    won = []

    def write(number: int) -> None:
        barrier.wait()
        if store.put_if_absent("once", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("once") == str(won[0]).encode()


@pytest.mark.aws
def test_a_bucket_refuses_a_second_writer(s3):
    assert s3.put_if_absent("once", b"1")
    assert not s3.put_if_absent("once", b"2")
    assert s3.get("once") == b"1"


def test_no_half_written_file_is_listed(store, tmp_path):
    store.put("a", b"1" * 1000)
    assert [path.name for path in (tmp_path / "a folder").iterdir()] == ["a"]


@pytest.mark.parametrize("url", ["relative/folder", "file://host/x", "gs://bucket", "s3:///x", ""])
def test_another_kind_of_url_is_refused(url):
    with pytest.raises(UsageError, match=r"neither file:///folder nor s3://bucket/prefix"):
        Store(url)


def test_a_store_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open it in the store file://"):
        Store((tmp_path / "file" / "below").as_uri())


def test_a_path_that_leaves_the_store_is_refused(store, tmp_path):
    with pytest.raises(StoreError):
        store.put("../outside", b"x")
    assert not (tmp_path / "outside").exists()
