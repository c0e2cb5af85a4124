"""Images on a real engine: who shares a base, what a change costs, what stands in for what broke."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daybreak.build.images.builds import ensure
from daybreak.build.images.engine_build import buildkit
from daybreak.build.images.image import DEGRADED, Base, ImageFailed
from daybreak.build.images.recipe import Recipe
from daybreak.build.locks import normalised
from daybreak.catalog.loader import load
from daybreak.settings import BuildSettings, EngineSettings, ImageSettings
from tests.docker.conftest import Yard, pinned
from tests.monorepo import HEADER, Monorepo

LOCK = pinned("markupsafe", "itsdangerous")
OTHER = pinned("markupsafe", "itsdangerous", "blinker")

#: Of itsdangerous 2.1.2.
OLDER = "2c2349112351b88699d8d4b6b075022c0808887cb7ad10069318a8b0bc88db44"

DOCKERFILE = """FROM python:3.13-slim AS dependencies
COPY services/{name}/requirements.txt /tmp/requirements.txt
RUN python -c "open('/made', 'w').write(open('/tmp/requirements.txt').read())"

FROM dependencies
COPY wheels/ /tmp/wheels/
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl
USER 1000
CMD ["python", "-m", "{name}"]
"""


def own(yard: Yard, name: str, key: str, lock: str = LOCK, text: str = DOCKERFILE) -> Recipe:
    context = {f"context/services/{name}/requirements.txt": lock}
    return yard.recipe(name, key, lock=lock, dockerfile=text.format(name=name), context=context)


def test_what_is_installed_once_is_shared_and_code_costs_no_installation(yard: Yard) -> None:
    first = yard.images.service(yard.recipe(key="a1", lock=LOCK), "a1", "c" * 40)
    assert first.made
    assert yard.says(first.tag, "say-hello") == "a1\n"
    assert (
        yard.says(first.tag, "python", "-c", "import markupsafe._speedups, os; print(os.getuid())")
        == "10001\n"
    )
    assert {"markupsafe", "itsdangerous", "hello"} <= first.packages.keys()
    base = yard.client.images.get(first.tag).labels["dev.daybreak.base"]

    # Code changes: the same base, and no package is installed.
    yard.log.clear()
    changed = yard.images.service(yard.recipe(key="a2", lock=LOCK), "a2", "c" * 40)
    assert changed.made
    assert yard.client.images.get(changed.tag).labels["dev.daybreak.base"] == base
    assert yard.log == ["hello: building its image a2"]
    # The same key again, also one that was left: nothing is built.
    yard.log.clear()
    for key in ("a1", "a2"):
        assert not yard.images.service(yard.recipe(key=f"{key}x", lock=LOCK), key, "c" * 40).made
    assert yard.log == []

    # Another service with the same closure, said in other words.
    neighbour = yard.recipe(
        "other", "b1", lock="# by hand\n" + "".join(reversed(LOCK.splitlines(keepends=True)))
    )
    assert yard.images.base(neighbour).tag == base

    # A dependency more is another base, on which the rest stands.
    more = yard.images.service(yard.recipe(key="a3", lock=OTHER), "a3", "c" * 40)
    assert yard.client.images.get(more.tag).labels["dev.daybreak.base"] != base
    assert yard.says(more.tag, "python", "-c", "import blinker, hello; print(hello.CODE)") == "a3\n"

    # Where a package came from is in no layer and no history.
    said = str(yard.client.api.history(more.tag)) + str(yard.client.images.get(more.tag).attrs)
    assert not [word for word in ("index-url", "find-links", "simple", "http") if word in said]


#: What lies in the library; byte code by its size and by what it is valid for.
LISTED = """
import hashlib, importlib.util, json, marshal, pathlib, sysconfig
library, found = pathlib.Path(sysconfig.get_path("purelib")), {}
for path in sorted(library.rglob("*")):
    name, about = str(path.relative_to(library)), path.stat()
    data = path.read_bytes() if path.is_file() else b""
    said = hashlib.sha256(data).hexdigest()
    if path.suffix == ".pyc":
        source = pathlib.Path(importlib.util.source_from_cache(path))
        assert marshal.loads(data[16:]).co_filename == str(source)
        times = [int.from_bytes(data[at:at + 4], "little") for at in (4, 8, 12)]
        assert times == [0, source.stat().st_mtime, source.stat().st_size], source
        said = data[:16].hex()
    found[name] = [len(data), about.st_mtime, about.st_mode, said]
print(json.dumps(found))
"""


def listed(yard: Yard, base: Base) -> dict[str, list[object]]:
    return json.loads(yard.says(base.tag, "python", "-c", LISTED))


def compiled(yard: Yard, base: Base) -> list[int]:
    """How many modules were compiled for a base, and how many it has."""
    said = (yard.home / f"logs/image/base/{base.key}.log").read_text()
    [found] = re.findall(r"^Compiled (\d+) modules of (\d+)$", said, re.MULTILINE)
    return list(map(int, found))


def test_one_dependency_more_compiles_that_one_and_a_base_is_what_its_name_says(
    yard: Yard, tmp_path: Path
) -> None:
    first = yard.images.base(yard.recipe(key="a1", lock=LOCK))
    more = yard.images.base(yard.recipe(key="a2", lock=OTHER))
    assert compiled(yard, first)[0] == compiled(yard, first)[1] > 0
    there = listed(yard, more)
    modules = {name for name in there if name.endswith(".py")}
    new = {name for name in modules if name.startswith("blinker/")}
    assert compiled(yard, more) == [len(new), len(modules)]
    assert len(new) > 1
    assert len([name for name in there if name.endswith(".pyc")]) == len(modules)

    # Made from nothing, on a machine that never compiled anything for it, it is the same.
    yard.client.images.remove(more.tag)
    fresh = Yard(yard.engine, tmp_path / "fresh", yard.client)
    again = fresh.images.base(fresh.recipe(key="a2", lock=OTHER))
    assert again.made
    assert again.key == more.key
    assert compiled(fresh, again) == [len(modules), len(modules)]
    assert listed(fresh, again) == there
    layers = [yard.client.images.get(each).attrs["RootFS"]["Layers"] for each in
              ("python:3.13-slim", first.tag, again.tag)]  # fmt: skip
    assert layers[0] == layers[1][:-1] == layers[2][:-1], "no base stands on another one"


def test_of_two_builds_of_one_key_one_works_and_the_other_waits(yard: Yard) -> None:
    recipe = yard.recipe(lock=LOCK)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: yard.images.service(recipe, "a1", "c" * 40), range(2)))
    assert both[0].id == both[1].id
    assert sorted(each.made for each in both) == [False, True]
    assert len(yard.log) == 2  # one base, one image


def test_two_machines_that_build_one_key_at_once_both_have_it(yard: Yard, tmp_path: Path) -> None:
    """They share the engine and no lock."""
    both = [yard, Yard(yard.engine, tmp_path / "other", yard.client)]
    recipes = [each.recipe(lock=LOCK) for each in both]
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(each.images.service, recipe, "a1", "c" * 40)
            for each, recipe in zip(both, recipes, strict=True)
        ]
        made = [each.result() for each in asked]
    assert made[0].tag == made[1].tag
    assert yard.says(made[0].tag, "say-hello") == "a1\n"
    for each in made:
        assert yard.says(each.id, "python", "-c", "import markupsafe, hello; print(hello.CODE)") == "a1\n"
    assert yard.client.containers.list(all=True) == []


def test_a_broken_base_is_stood_in_for_by_the_last_one_and_the_difference(yard: Yard) -> None:
    old = f"itsdangerous==2.1.2 --hash=sha256:{OLDER}\n"
    yard.images.service(yard.recipe(key="a1", lock=old), "a1", "c" * 40)
    text = DOCKERFILE.replace("RUN python", "RUN echo so long && exit 9; python")
    broken = own(yard, "hello", "a2", LOCK, text)
    with pytest.raises(ImageFailed, match=r"(?s)Log: logs/image/base/.*so long"):
        yard.images.base(own(yard, "new", "n1", LOCK, text))

    stood_in = yard.images.service(broken, "a2", "c" * 40)

    assert stood_in.degraded
    assert DEGRADED in yard.client.images.get(stood_in.tag).labels
    what = "import importlib.metadata as m; print([d.version for d in m.distributions(name='itsdangerous')])"
    assert yard.says(stood_in.tag, "python", "-c", f"import markupsafe; {what}") == "['2.2.0']\n"
    assert yard.images.of_key("hello", "a2") is None, "a degraded image must not count as the whole one"
    whole = yard.images.service(yard.recipe(key="a3", lock=LOCK), "a2", "c" * 40)
    assert not whole.degraded
    assert yard.images.of_key("hello", "a2").id == whole.id


def test_a_team_s_own_dockerfile_is_cut_at_its_stage_of_dependencies(yard: Yard) -> None:
    first = yard.images.service(own(yard, "hello", "a1"), "a1", "c" * 40)
    assert (
        yard.says(first.tag, "python", "-c", "import hello, os; print(hello.CODE, os.getuid())")
        == "a1 1000\n"
    )
    assert yard.says(first.tag, "cat", "/made") == LOCK
    # The same stage of another service, from another folder.
    other = own(yard, "other", "b1")
    base = yard.images.base(other)
    assert not base.made
    assert base.tag == yard.client.images.get(first.tag).labels["dev.daybreak.base"]
    assert yard.images.base(own(yard, "hello", "a2", OTHER)).made

    broken = yard.recipe(key="a3", dockerfile="FROM python:3.13-slim\nRUN echo so long && exit 7\n")
    with pytest.raises(ImageFailed, match=r"(?s)Log: logs/image/hello/a3.*so long"):
        yard.images.service(broken, "a3", "c" * 40)


def test_a_secret_of_a_build_is_in_no_layer(yard: Yard, tmp_path: Path) -> None:
    if buildkit() is None:
        pytest.skip("no `docker` command with BuildKit (.ci/run installs one)")
    (tmp_path / "pip.conf").write_text("index-url = https://u:topsecret@index.example/simple")
    yard.settings = ImageSettings(network="host", secrets={"pip": tmp_path / "pip.conf"})
    text = (
        "FROM python:3.13-slim AS dependencies\n"
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf grep --count index-url /etc/pip.conf > /seen\n"
        "FROM dependencies\nCOPY wheels/ /w/\n"
    )
    made = yard.images.service(yard.recipe(dockerfile=text), "a1", "c" * 40)
    assert yard.says(made.tag, "cat", "/seen") == "1\n"
    assert "topsecret" not in yard.says(made.tag, "sh", "-c", "cat /etc/pip.conf; true")
    assert "topsecret" not in str(yard.client.api.history(made.tag)) + str(
        yard.client.api.inspect_image(made.tag)
    )
    logs = "".join(path.read_text() for path in (yard.home / "logs").rglob("*.log"))
    assert "topsecret" not in logs


def test_a_build_knows_what_the_machine_s_docker_is_told(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its logins are in the same file as its proxies, which a RUN can say."""
    said = {"proxies": {"default": {"httpProxy": "http://proxy.example:3128"}}}
    (tmp_path / "config.json").write_text(json.dumps(said))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    text = 'FROM python:3.13-slim\nRUN echo "$HTTP_PROXY" > /seen\n'
    made = yard.images.service(yard.recipe(dockerfile=text), "a1", "c" * 40)
    assert yard.says(made.tag, "cat", "/seen") == "http://proxy.example:3128\n"


def test_a_service_of_our_own_is_one_layer_on_its_base_with_the_base_s_settings(yard: Yard) -> None:
    made = yard.images.service(yard.recipe(key="a1", lock=LOCK), "a1", "c" * 40)
    image = yard.client.images.get(made.tag)
    base = yard.client.images.get(image.labels["dev.daybreak.base"])
    own, theirs = image.attrs["Config"], base.attrs["Config"]
    assert own["User"] == "10001:10001"
    assert own["Cmd"] == ["python", "-m", "hello"]
    assert own["Hostname"] == ""
    assert {name: own[name] for name in ("Env", "Entrypoint", "WorkingDir", "Volumes")} == {
        name: theirs[name] for name in ("Env", "Entrypoint", "WorkingDir", "Volumes")
    }
    assert (own["Labels"]["dev.daybreak.key"], own["Labels"]["dev.daybreak.commit"]) == ("a1", "c" * 40)
    layers = base.attrs["RootFS"]["Layers"]
    assert image.attrs["RootFS"]["Layers"][:-1] == layers
    assert yard.client.containers.list(all=True) == [], "the container that lent its layer is gone"
    owner = "import hello, os; s = os.stat(hello.__file__); print(s.st_uid, oct(s.st_mode & 0o777))"
    assert yard.says(made.tag, "python", "-c", owner) == "0 0o644\n"


INSTALLED = """FROM python:3.13-slim AS dependencies
COPY services/{name}/requirements.txt /tmp/requirements.txt

FROM dependencies
COPY installed/ /
CMD ["python", "-m", "{name}"]
"""


def test_a_dockerfile_may_copy_the_wheels_as_they_are_installed(yard: Yard) -> None:
    made = yard.images.service(own(yard, "hello", "a1", LOCK, INSTALLED), "a1", "c" * 40)
    assert yard.says(made.tag, "say-hello") == "a1\n"
    assert made.packages.keys() - yard_packages(yard, "python:3.13-slim") == {"hello"}
    whole = "FROM python:3.13-slim\nCOPY installed/ /\n"
    with pytest.raises(ImageFailed, match=r"hello copies installed/, and has no stage `dependencies`"):
        yard.images.service(yard.recipe(key="a2", dockerfile=whole), "a2", "c" * 40)


def yard_packages(yard: Yard, image: str) -> set[str]:
    """The distributions that pip finds in an image."""
    listed = yard.says(image, "python", "-m", "pip", "list", "--format=json")
    return {normalised(each["name"]) for each in json.loads(listed)}


def test_what_a_dockerfile_installs_by_itself_is_on_the_bill(yard: Yard) -> None:
    """The bill of materials is what is installed, not what was meant to be."""
    for key, text in (
        ("a1", DOCKERFILE),  # its stage of dependencies installs nothing of the lock
        ("a2", "FROM python:3.13-slim\nCOPY wheels/ /w/\nRUN pip install --no-index --no-deps /w/*.whl\n"),
        ("a3", "FROM python:3.13-slim AS dependencies\nRUN true\nFROM python:3.13-slim\nCOPY wheels/ /w/\n"),
    ):
        made = yard.images.service(own(yard, "hello", key, LOCK, text), key, "c" * 40)
        assert made.packages.keys() == yard_packages(yard, made.tag), key
    assert "hello" not in made.packages, "copied, and installed by nobody"


#: A registry where nobody is: what is pulled from it is said, and used as it is here.
MOVES = "127.0.0.1:1/runtime:1"


@pytest.mark.parametrize(
    "stages",
    [f"FROM {MOVES}\n", f"FROM python:3.13-slim AS dependencies\nRUN true\nFROM {MOVES}\n"],
    ids=["a Dockerfile that is built whole", "a later stage"],
)
def test_a_runtime_that_moved_reaches_a_service_whose_base_is_not_made_of_it(yard: Yard, stages: str) -> None:
    yard.client.images.get("python:3.13-slim").tag(*MOVES.rsplit(":", 1))
    recipe = yard.recipe(dockerfile=f"{stages}COPY wheels/ /w/\n")
    first = yard.images.service(recipe, "a1", "c" * 40, fresh=True)
    again = yard.images.service(recipe, "a1", "c" * 40, fresh=True)
    assert (again.tag, again.made) == (first.tag, False)

    # Its security update: another image under the same name.
    container = yard.client.containers.create("python:3.13-slim", ["sh", "-c", "echo mended > /mended"])
    container.start()
    container.wait()
    container.commit(*MOVES.rsplit(":", 1), conf={"Labels": {"dev.daybreak.of-a-test": "1"}})
    container.remove()
    moved = yard.images.service(recipe, "a1", "c" * 40, fresh=True)

    assert moved.made
    assert moved.tag != first.tag
    assert yard.says(moved.id, "cat", "/mended") == "mended\n"
    # It is what is deployed from now on; without a look at the runtime nothing is built for it.
    assert yard.images.service(recipe, "a1", "c" * 40).id == moved.id
    # The pull of each week asks for it.
    yard.log.clear()
    yard.images.refresh(recipe)
    assert [line for line in yard.log if line.startswith(f"{MOVES} is used as it is here")]


def test_what_a_dockerfile_that_is_built_whole_starts_from_is_pulled_each_week_too(
    yard: Yard, tmp_path: Path
) -> None:
    repo = Monorepo(tmp_path / "repo")
    service = 'HELLO = Resource(name="hello", type=rt.SERVICE, dependent_paths=["hello"])\n'
    repo.commit({
        "resources.py": HEADER + service,
        "hello/pyproject.toml": '[project]\nname = "hello"\nversion = "1"\n',
        "hello/hello/__init__.py": "",
        "hello/Dockerfile": f"FROM {MOVES}\nCOPY wheels/ /w/\n",
    })  # fmt: skip
    catalog = load(repo.repo, repo.repo.rev_parse("main"), "resources.py")
    images = yard.settings.model_copy(update={"engine": EngineSettings(url=yard.engine.url)})
    settings = BuildSettings(images=images)
    for pull in (False, True):
        made = ensure(repo.repo, catalog, "hello", yard.home, settings, yard.log.append, pull=pull)
        assert made is None
        assert bool([line for line in yard.log if line.startswith(f"{MOVES} is used as")]) == pull
