"""Spark applications: uploaded to the environment's bucket, run as a step of its EMR cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from daybreak.aws.batches import batches, paginate
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.facts import physical_id
from daybreak.errors import DeployFailed, UsageError

FILES = ("main.py", "packages.zip")
#: Everybody who may describe a step reads its arguments, so only these variables go along.
_PUBLIC_VARIABLES = ("DAYBREAK_ENVIRONMENT", "DAYBREAK_COMMIT", "AWS_DEFAULT_REGION")
_ALIVE = ["PENDING", "RUNNING", "COMPLETED"]
_OVER_BADLY = {"FAILED", "CANCELLED", "INTERRUPTED", "CANCEL_PENDING"}


class SparkDriver:
    """``options``: logical ids ``bucket`` and ``cluster``; ``arguments`` of the application (texts, in which
    ``{environment}`` and ``{bucket}`` are replaced); ``timeout_seconds`` (1800).

    :param poll_seconds: between two looks at a running step.
    """

    def __init__(self, poll_seconds: float = 5.0) -> None:
        self._poll_seconds = poll_seconds

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """The stack made bucket and cluster."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Upload, run once, and remember it in ``apps/<name>/current.json``.

        A retry adopts the step that the try before it began, instead of running the application twice.

        :raises DeployFailed: when the step fails or its time is over.
        """
        if self.observe(resource, target) == package.key:
            return {}
        bucket, cluster = physical_id(resource, target, "bucket"), physical_id(resource, target, "cluster")
        s3, emr = target.client("s3"), target.client("emr")
        prefix = f"apps/{resource.name}/{package.key}"
        for name in FILES:
            s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=(package.folder / name).read_bytes())
        name = f"daybreak {resource.name} {package.key[:16]} {target.nonce}"
        step = _running(emr, cluster, name)
        if step is None:
            steps = [_step(resource, target, bucket, prefix, name)]
            step = str(emr.add_job_flow_steps(JobFlowId=cluster, Steps=steps)["StepIds"][0])
            target.log(f"{resource.name}: step {step} on cluster {cluster}")
        self._wait(emr, cluster, step, resource)
        current = {"key": package.key, "commit": package.commit, "cluster": cluster, "step": step}
        s3.put_object(
            Bucket=bucket,
            Key=_current(resource),
            Body=json.dumps(current).encode(),
            ContentType="application/json",
        )
        return {}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the last step that completed on the present cluster, when its files are still there."""
        bucket, cluster = physical_id(resource, target, "bucket"), physical_id(resource, target, "cluster")
        s3 = target.client("s3")
        try:
            body = s3.get_object(Bucket=bucket, Key=_current(resource))["Body"].read()
            current = json.loads(body)
            key = str(current["key"])
            for name in FILES:
                s3.head_object(Bucket=bucket, Key=f"apps/{resource.name}/{key}/{name}")
        except (ValueError, KeyError):
            return None
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchBucket", "404", "NotFound"}:
                return None
            raise
        return key if current.get("cluster") == cluster else None

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """Nothing beside the contract's own variables."""
        return {}

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Delete its files; bucket and cluster are the stack's."""
        s3, bucket = target.client("s3"), physical_id(resource, target, "bucket")
        try:
            found = list(
                paginate(s3, "list_objects_v2", "Contents", Bucket=bucket, Prefix=f"apps/{resource.name}/")
            )
        except s3.exceptions.NoSuchBucket:
            return
        for batch in batches(found, 1000):
            keys = [{"Key": each["Key"]} for each in batch]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise DeployFailed(f"{resource.name}: s3://{bucket}/{first['Key']} stays: {first['Message']}")

    def _wait(self, emr: Any, cluster: str, step: str, resource: CatalogResource) -> None:
        seconds = float(resource.options.get("timeout_seconds", 1800))
        deadline = time.monotonic() + seconds
        while True:
            status = emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]
            if status["State"] == "COMPLETED":
                return
            if status["State"] in _OVER_BADLY:
                details = status.get("FailureDetails", {})
                said = ", ".join(
                    str(details[name]) for name in ("Reason", "Message", "LogFile") if details.get(name)
                )
                raise DeployFailed(
                    f"{resource.name}: step {step} on cluster {cluster} is {status['State']}: "
                    f"{said or 'no reason given'}"
                )
            if time.monotonic() >= deadline:
                raise DeployFailed(
                    f"{resource.name}: step {step} on cluster {cluster} is still {status['State']} after "
                    f"{seconds:g} s (options['timeout_seconds'])"
                )
            time.sleep(self._poll_seconds)


def _running(emr: Any, cluster: str, name: str) -> str | None:
    for step in paginate(emr, "list_steps", "Steps", ClusterId=cluster, StepStates=_ALIVE):
        if step["Name"] == name:
            return str(step["Id"])
    return None


def _step(resource: CatalogResource, target: Target, bucket: str, prefix: str, name: str) -> dict[str, Any]:
    arguments = resource.options.get("arguments", [])
    if not isinstance(arguments, (list, tuple)) or not all(isinstance(each, str) for each in arguments):
        raise UsageError(f"{resource.name}: options['arguments'] must be a list of texts")
    settings = []
    for variable in _PUBLIC_VARIABLES:
        if variable in target.variables:
            value = target.variables[variable]
            settings += ["--conf", f"spark.yarn.appMasterEnv.{variable}={value}"]
            settings += ["--conf", f"spark.executorEnv.{variable}={value}"]
    here = f"s3://{bucket}/{prefix}"
    filled = [
        each.replace("{environment}", target.environment.name).replace("{bucket}", bucket)
        for each in arguments
    ]
    return {
        "Name": name,
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {
            "Jar": "command-runner.jar",
            "Args": [
                "spark-submit", "--deploy-mode", "cluster", *settings,
                "--py-files", f"{here}/packages.zip", f"{here}/main.py", *filled,
            ],
        },
    }  # fmt: skip


def _current(resource: CatalogResource) -> str:
    return f"apps/{resource.name}/current.json"
