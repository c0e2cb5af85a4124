"""Spark applications: uploaded, run once as a step, and observed from what is really there."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package
from daybreak.deploy.spark import SparkDriver
from daybreak.errors import DeployFailed, LostOp
from tests.deploy.conftest import Deploys

DRIVER = SparkDriver(poll_seconds=0.01)
MILEAGE = CatalogResource(
    "mileage",
    ResourceType.SPARK,
    options={
        "bucket": "LakeBucket",
        "cluster": "SparkCluster",
        "arguments": ["--out", "s3://{bucket}/{environment}"],
    },
)


@pytest.fixture
def here(deploys: Deploys, aws: Any, aws_account: str) -> Deploys:
    deploys.session = boto3.Session(
        aws_access_key_id=aws_account, aws_secret_access_key="x", region_name="us-east-1"
    )
    deploys.endpoint_url, deploys.account = aws.endpoint_url, aws_account
    deploys.stack["LakeBucket"] = f"lake-{aws_account}"
    client(deploys, "s3").create_bucket(Bucket=deploys.stack["LakeBucket"])
    deploys.stack["SparkCluster"] = cluster(deploys)
    return deploys


def client(deploys: Deploys, service: str) -> Any:
    return deploys.session.client(service, endpoint_url=deploys.endpoint_url)


def cluster(deploys: Deploys) -> str:
    made = client(deploys, "emr").run_job_flow(
        Name="dev-01",
        ReleaseLabel="emr-7.0.0",
        Applications=[{"Name": "Spark"}],
        Instances={
            "MasterInstanceType": "m5.xlarge",
            "InstanceCount": 1,
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        JobFlowRole="r",
        ServiceRole="r",
    )
    return str(made["JobFlowId"])


def steps(deploys: Deploys) -> list[Any]:
    return list(client(deploys, "emr").list_steps(ClusterId=deploys.stack["SparkCluster"])["Steps"])


def package(deploys: Deploys, key: str = "k1") -> Package:
    return deploys.package({"main.py": f"print({key!r})", "packages.zip": b"zip"}, key, "mileage")


def test_it_is_uploaded_and_run_with_its_arguments_and_no_secrets(here: Deploys) -> None:
    target = here.target(DAYBREAK_ENVIRONMENT="dev-01", DATABASE_URL="postgresql://u:topsecret@h/d")
    assert DRIVER.observe(MILEAGE, target) is None

    DRIVER.deploy(MILEAGE, package(here), target)

    [step] = steps(here)
    bucket = here.stack["LakeBucket"]
    arguments = step["Config"]["Args"]
    assert arguments[-3:] == [f"s3://{bucket}/apps/mileage/k1/main.py", "--out", f"s3://{bucket}/dev-01"]
    assert "spark.yarn.appMasterEnv.DAYBREAK_ENVIRONMENT=dev-01" in arguments
    assert "topsecret" not in json.dumps(step, default=str)
    body = client(here, "s3").get_object(Bucket=bucket, Key="apps/mileage/k1/main.py")["Body"].read()
    assert body == b"print('k1')"
    assert DRIVER.observe(MILEAGE, target) == "k1"


def test_the_same_key_runs_once_and_another_again(here: Deploys) -> None:
    for key in ("k1", "k1", "k2"):
        DRIVER.deploy(MILEAGE, package(here, key), here.target())
    assert len(steps(here)) == 2
    assert DRIVER.observe(MILEAGE, here.target()) == "k2"


def test_a_retry_adopts_the_step_of_the_try_that_was_killed(here: Deploys) -> None:
    DRIVER.deploy(MILEAGE, package(here), here.target())
    client(here, "s3").delete_object(Bucket=here.stack["LakeBucket"], Key="apps/mileage/current.json")

    DRIVER.deploy(MILEAGE, package(here), here.target())

    assert len(steps(here)) == 1
    assert DRIVER.observe(MILEAGE, here.target()) == "k1"


def test_files_that_were_scorched_or_a_new_cluster_mean_not_deployed(here: Deploys) -> None:
    DRIVER.deploy(MILEAGE, package(here), here.target())
    old = here.stack["SparkCluster"]
    here.stack["SparkCluster"] = cluster(here)
    assert DRIVER.observe(MILEAGE, here.target()) is None
    here.stack["SparkCluster"] = old
    client(here, "s3").delete_object(Bucket=here.stack["LakeBucket"], Key="apps/mileage/k1/packages.zip")
    assert DRIVER.observe(MILEAGE, here.target()) is None
    here.stack["LakeBucket"] = "no-such-bucket-anywhere"
    assert DRIVER.observe(MILEAGE, here.target()) is None


class Emr:
    """A cluster whose step is in a state that the emulator's steps never reach."""

    def __init__(self, **status: Any) -> None:
        self.status = status

    def describe_step(self, **_: Any) -> Any:
        return {"Step": {"Status": self.status}}


def test_a_failed_step_says_why() -> None:
    failed = Emr(State="FAILED", FailureDetails={"Reason": "Unknown Error", "LogFile": "s3://logs/stderr.gz"})
    with pytest.raises(
        DeployFailed, match=r"mileage: step s-1 on cluster j-1 is FAILED: Unknown Error, s3://logs"
    ):
        DRIVER._wait(failed, "j-1", "s-1", MILEAGE)


def test_a_step_that_runs_too_long_is_an_error() -> None:
    import dataclasses

    impatient = dataclasses.replace(MILEAGE, options={**MILEAGE.options, "timeout_seconds": 0.05})
    with pytest.raises(DeployFailed, match=r"still RUNNING after 0\.05 s"):
        DRIVER._wait(Emr(State="RUNNING"), "j-1", "s-1", impatient)


def test_destroy_deletes_its_files_and_nothing_else(here: Deploys) -> None:
    s3, bucket = client(here, "s3"), here.stack["LakeBucket"]
    s3.put_object(Bucket=bucket, Key="apps/mileage2/main.py", Body=b"other")
    DRIVER.deploy(MILEAGE, package(here), here.target())
    for _ in range(2):
        DRIVER.destroy(MILEAGE, here.target())
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [
        "apps/mileage2/main.py"
    ]


def test_who_lost_the_op_uploads_nothing(here: Deploys) -> None:
    here.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        DRIVER.deploy(MILEAGE, package(here), here.target())
    assert client(here, "s3").list_objects_v2(Bucket=here.stack["LakeBucket"]).get("Contents") is None
    assert steps(here) == []
