"""acme's own commands against an account: the rules are published, watched and taken away."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daybreak.build.artifact import Artifacts
from daybreak.build.builder import build
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.loader import load
from daybreak.change.key import content_keys
from daybreak.deploy.command import CommandDriver
from daybreak.deploy.driver import Package, Target
from daybreak.errors import DeployFailed
from daybreak.git.repository import Repository
from daybreak.settings import BuildSettings
from daybreak.store import Store
from examples.acme_history import create_repository
from tests.fixtures.cloud import REGION, Cloud

DRIVER = CommandDriver()


@dataclass
class Geofences:
    """The resource, its artifact, and the environment whose bucket gets it."""

    resource: CatalogResource
    package: Package
    target: Target
    cloud: Cloud

    @property
    def bucket(self) -> str:
        return f"acme-{self.target.environment.name}-geofences"

    def paths(self) -> list[str]:
        listed = self.cloud.client("s3").list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in listed.get("Contents", ())]

    def deploy(self) -> None:
        DRIVER.create(self.resource, self.package, self.target)
        DRIVER.deploy(self.resource, self.package, self.target)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, built: Path) -> tuple[CatalogResource, Package]:
    folder = tmp_path_factory.mktemp("geofences")
    _, today = create_repository(folder / "acme")
    repo = Repository(folder / "acme")
    catalog, artifacts = load(repo, today), Artifacts(Store((built / "store").as_uri()))
    keys = content_keys(repo, catalog)
    build(repo, catalog, "geofences", keys, artifacts, folder / "home", BuildSettings())
    key = keys["geofences"]
    return (
        catalog["geofences"],
        Package("geofences", key, today, artifacts.fetch("geofences", key, folder / "home")),
    )


@pytest.fixture
def geofences(artifact: tuple[CatalogResource, Package], cloud: Cloud) -> Geofences:
    resource, package = artifact
    given = {
        "DAYBREAK_ENVIRONMENT": f"dev-{cloud.account}", "DAYBREAK_COMMIT": package.commit,
        "AWS_ENDPOINT_URL": cloud.endpoint_url, "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": cloud.account, "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    target = replace(cloud.target(given["DAYBREAK_ENVIRONMENT"]), variables=given)
    made = Geofences(resource, package, target, cloud)
    cloud.client("s3").create_bucket(Bucket=made.bucket)
    return made


def test_what_was_deployed_is_in_the_bucket_and_observed_there(geofences: Geofences) -> None:
    DRIVER.create(geofences.resource, geofences.package, geofences.target)
    assert geofences.paths() == ["current.json"]
    assert DRIVER.observe(geofences.resource, geofences.target) is None

    geofences.deploy()

    key = geofences.package.key
    assert geofences.paths() == ["current.json", f"rules/{key}.json"]
    assert DRIVER.observe(geofences.resource, geofences.target) == key
    s3 = geofences.cloud.client("s3")
    rules = json.loads(s3.get_object(Bucket=geofences.bucket, Key=f"rules/{key}.json")["Body"].read())
    assert rules["cells"]["3208,3478"] == ["tel-aviv"]


def test_rules_that_somebody_changed_by_hand_are_not_observed(geofences: Geofences) -> None:
    geofences.deploy()
    path = f"rules/{geofences.package.key}.json"
    geofences.cloud.client("s3").put_object(Bucket=geofences.bucket, Key=path, Body=b"{}")
    assert DRIVER.observe(geofences.resource, geofences.target) is None


def test_destroy_empties_the_bucket_and_may_be_repeated(geofences: Geofences) -> None:
    geofences.deploy()
    for _ in range(2):
        DRIVER.destroy(geofences.resource, geofences.target)
        assert geofences.paths() == []


def test_without_its_bucket_the_deploy_says_which_one_is_missing(geofences: Geofences) -> None:
    geofences.cloud.client("s3").delete_bucket(Bucket=geofences.bucket)
    with pytest.raises(
        DeployFailed, match=r"(?s)geofences: its `deploy` command ended with exit code 1.*NoSuchBucket"
    ):
        DRIVER.deploy(geofences.resource, geofences.package, geofences.target)
