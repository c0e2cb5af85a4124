"""Functions get their code, and say afterwards what they run."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import boto3
import pytest

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Package
from daybreak.deploy.lambda_ import LambdaDriver
from daybreak.errors import DeployFailed, LostOp, UsageError
from tests.deploy.conftest import Deploys

DRIVER = LambdaDriver()
SCORER = CatalogResource(
    "scorer",
    ResourceType.LAMBDA,
    line=30,
    options={"handler": "scorer.handler", "logical_id": "ScorerFunction"},
)
CODE = (
    "import os\ndef handler(event, context):\n"
    "    return [{answer}, os.environ.get('DAYBREAK_COMMIT'), os.environ.get('OWN')]\n"
)


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.py", content)
    return buffer.getvalue()


@pytest.fixture
def here(deploys: Deploys, aws: Any, aws_account: str) -> Deploys:
    """An environment whose stack made a function with placeholder code and a variable of its own."""
    deploys.session = boto3.Session(
        aws_access_key_id=aws_account, aws_secret_access_key="x", region_name="us-east-1"
    )
    deploys.endpoint_url, deploys.account = aws.endpoint_url, aws_account
    client(deploys).create_function(
        FunctionName="dev-01-scorer",
        Runtime="python3.11",
        Handler="index.handler",
        Role=f"arn:aws:iam::{aws_account}:role/r",
        Code={"ZipFile": zipped(index="def handler(e, c): return 0")},
        Environment={"Variables": {"OWN": "kept"}},
    )
    deploys.stack["ScorerFunction"] = "dev-01-scorer"
    return deploys


def client(deploys: Deploys) -> Any:
    return deploys.session.client("lambda", endpoint_url=deploys.endpoint_url)


def package(deploys: Deploys, key: str, answer: int = 1) -> Package:
    return deploys.package({"function.zip": zipped(scorer=CODE.format(answer=answer))}, key, "scorer")


def invoke(deploys: Deploys) -> Any:
    return json.loads(client(deploys).invoke(FunctionName="dev-01-scorer", Payload=b"{}")["Payload"].read())


def test_the_deployed_code_answers_with_the_contracts_variables(here: Deploys) -> None:
    target = here.target(DAYBREAK_COMMIT="abc", AWS_SECRET_ACCESS_KEY="orchestrators")
    assert DRIVER.observe(SCORER, target) is None

    provided = DRIVER.deploy(SCORER, package(here, "k1", 42), target)

    assert provided == {"SCORER_FUNCTION": "dev-01-scorer"}
    assert invoke(here) == [42, "abc", "kept"]
    assert DRIVER.observe(SCORER, target) == "k1"
    configuration = client(here).get_function_configuration(FunctionName="dev-01-scorer")
    assert "AWS_SECRET_ACCESS_KEY" not in configuration["Environment"]["Variables"]


def test_another_key_replaces_the_code_and_the_same_one_changes_nothing(here: Deploys) -> None:
    DRIVER.deploy(SCORER, package(here, "k1", 1), here.target())
    DRIVER.deploy(SCORER, package(here, "k2", 2), here.target())
    assert invoke(here)[0] == 2
    guarded = here.guards

    DRIVER.deploy(SCORER, package(here, "k2", 2), here.target())

    assert here.guards == guarded
    assert DRIVER.observe(SCORER, here.target()) == "k2"


def test_code_uploaded_by_hand_is_not_observed_as_ours(here: Deploys) -> None:
    DRIVER.deploy(SCORER, package(here, "k1"), here.target())
    client(here).update_function_code(
        FunctionName="dev-01-scorer", ZipFile=zipped(scorer="def handler(e, c): 7")
    )

    assert DRIVER.observe(SCORER, here.target()) is None

    DRIVER.deploy(SCORER, package(here, "k1"), here.target())
    assert DRIVER.observe(SCORER, here.target()) == "k1"


def test_a_logical_id_that_no_stack_has_is_named_with_its_line(here: Deploys) -> None:
    here.stack.clear()
    with pytest.raises(
        DeployFailed, match=r"resources\.py:30: scorer: options\['logical_id'\] is 'ScorerFunction'"
    ):
        DRIVER.deploy(SCORER, package(here, "k1"), here.target())


def test_a_function_that_is_gone_is_an_error_and_not_observed(here: Deploys) -> None:
    client(here).delete_function(FunctionName="dev-01-scorer")
    assert DRIVER.observe(SCORER, here.target()) is None
    with pytest.raises(DeployFailed, match="dev-01 has no function dev-01-scorer"):
        DRIVER.deploy(SCORER, package(here, "k1"), here.target())


def test_a_zip_that_lambda_would_refuse_is_said_before(
    here: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daybreak.deploy.lambda_.LARGEST_ZIP", 10)
    with pytest.raises(UsageError, match=r"function\.zip has"):
        DRIVER.deploy(SCORER, package(here, "k1"), here.target())


def test_who_lost_the_op_uploads_nothing(here: Deploys) -> None:
    here.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        DRIVER.deploy(SCORER, package(here, "k1"), here.target())
    assert invoke(here) == 0
