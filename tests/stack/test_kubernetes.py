"""What docs/kubernetes.md applies to a cluster, as far as it can be known without one."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models

from daybreak.settings import load
from tests.stack.chart import CHART, refused
from tests.stack.conftest import ROOT, airflow_options, image_environment, new_env, read_env

FOLDER = ROOT / "stack" / "kubernetes"
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
MANIFESTS = [
    each for name in ("host", "init") for each in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
]


def unknown(kind: str, data: Any, at: str) -> Iterator[str]:
    """Fields of ``data`` that Kubernetes' model ``kind`` does not have, by their path; wrong types too."""
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(data, list):
            yield f"{at} is no list"
            return
        for number, each in enumerate(data):
            yield from unknown(listed[1], each, f"{at}[{number}]")
        return
    model = getattr(models, kind, None)
    if model is None:  # str, int, dict(str, str) …
        scalar = {"str": str, "int": int, "bool": bool}.get(kind)
        if scalar is not None and not isinstance(data, scalar):
            yield f"{at} is no {kind}"
        return
    fields = {theirs: ours for ours, theirs in model.attribute_map.items()}
    for name, value in data.items():
        if name in fields:
            yield from unknown(model.openapi_types[fields[name]], value, f"{at}.{name}")
        else:
            yield f"{at}.{name} is no field of {kind}"


def containers() -> Iterator[Mapping[str, Any]]:
    for manifest in MANIFESTS:
        yield from manifest["spec"].get("template", {}).get("spec", {}).get("containers", ())


def taken_whole(fragment: list[dict[str, Any]]) -> set[str]:
    """The secrets whose entries are all variables."""
    return {each["secretRef"]["name"] for each in fragment}


def secrets() -> set[tuple[str, str]]:
    """Name and key of every secret that is asked for."""
    found = {(each["secretName"], each["secretKey"]) for each in VALUES["secret"]}
    found |= {(VALUES["data"]["metadataSecretName"], "connection")}
    for field, key in (
        ("fernetKey", "fernet-key"),
        ("apiSecretKey", "api-secret-key"),
        ("jwt", "jwt-secret"),
    ):
        found.add((VALUES[f"{field}SecretName"], key))
    for container in containers():
        for variable in container["env"]:
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                found.add((reference["name"], reference["key"]))
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_every_field_is_one_that_kubernetes_knows(manifest: dict[str, Any]) -> None:
    assert list(unknown(f"V1{manifest['kind']}", manifest, manifest["kind"])) == []


def test_the_check_sees_a_wrong_field() -> None:
    wrong = {"spec": {"template": {"spec": {"containers": [{"name": "a", "imagePolicy": 1}], "volumes": {}}}}}
    assert list(unknown("V1Job", wrong, "Job")) == [
        "Job.spec.template.spec.containers[0].imagePolicy is no field of V1Container",
        "Job.spec.template.spec.volumes is no list",
    ]


def test_fragments_of_the_values_are_of_kubernetes_too() -> None:
    for field, kind in (("env", "V1EnvVar"), ("volumes", "V1Volume"), ("volumeMounts", "V1VolumeMount")):
        assert list(unknown(f"list[{kind}]", VALUES[field], field)) == []
    whole = yaml.safe_load(VALUES["extraEnvFrom"])
    assert list(unknown("list[V1EnvFromSource]", whole, "extraEnvFrom")) == []
    resources = VALUES["workers"]["kubernetes"]["resources"]
    assert list(unknown("V1ResourceRequirements", resources, "workers.kubernetes.resources")) == []


def test_every_value_is_one_that_the_chart_knows_and_of_its_type() -> None:
    assert list(refused(VALUES)) == []
    commands = re.findall(r"^ *helm (?:pull|upgrade) .*$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    assert all(f" --version {CHART} " in command for command in commands), "the page installs another chart"


def changed(path: str, value: object) -> dict[str, Any]:
    """The values, but ``value`` at ``path``."""
    wrong = copy.deepcopy(VALUES)
    branch: Any = wrong
    *parents, last = path.split(".")
    for step in parents:
        branch = branch[int(step) if step.isdigit() else step]
    branch[last] = value
    return wrong


@pytest.mark.parametrize(
    "path",
    [
        "imagez",
        "createUserJob.enable",
        "data.metadataSecret",
        "triggerer.persistence.enable",
        "workers.resources",
        "workers.kubernetes.resources.limit",
        "env.0.valueFrom",
        "secret.0.key",
    ],
)
def test_a_field_that_the_chart_does_not_have_is_named(path: str) -> None:
    parent, _, name = path.rpartition(".")
    (found,) = refused(changed(path, {}))
    assert found.startswith(f"{parent or 'values'}: ")
    assert f"'{name}' was unexpected" in found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("executor", "KubernetesExecuter"),
        ("uid", "10001"),
        ("triggerer.persistence.enabled", "false"),
        ("workers.kubernetes.terminationGracePeriodSeconds", "300"),
        ("workers.kubernetes.resources.limits.memory", 4),
        ("config.core.load_examples", False),
        ("env.0.value", 1),
    ],
)
def test_a_value_of_a_wrong_type_is_named(path: str, value: object) -> None:
    (found,) = refused(changed(path, value))
    assert found.startswith(f"{path}: ")


def test_what_the_chart_runs_in_the_image_is_there() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (entrypoint,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', dockerfile, re.MULTILINE)
    # Every exec probe of the chart is `exec /entrypoint airflow jobs check …`.
    assert f"ln --symbolic {entrypoint} /entrypoint " in dockerfile
    # `/clean-logs` is a script of Airflow's own image.
    for component in ("scheduler", "dagProcessor", "triggerer"):
        assert VALUES[component]["logGroomerSidecar"] == {"enabled": False}, component


def test_options_are_airflow_s_and_those_of_the_compose_file(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    known = airflow_options()
    compose = services["scheduler"]["environment"]
    for section, options in VALUES["config"].items():
        for option, value in options.items():
            assert option in known[section]["options"], f"[{section}] {option}"
            there = compose.get(f"AIRFLOW__{section}__{option}".upper())
            if there is not None and "$" not in there:
                assert value == there, f"[{section}] {option}"
    for name, value in (("dags_folder", "DAGS_FOLDER"), ("plugins_folder", "PLUGINS_FOLDER")):
        assert VALUES["config"]["core"][name] == image_environment()[f"AIRFLOW__CORE__{value}"]


def test_every_variable_of_daybreak_s_that_the_compose_file_sets_is_set(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    ours = {
        name for name in services["worker"]["environment"] if name.startswith(("DAYBREAK_", "AIRFLOW_BOT"))
    }
    assert {each["name"] for each in VALUES["env"]} | {each["envName"] for each in VALUES["secret"]} >= ours


def test_settings_that_name_variables_are_read_by_the_host_and_the_job(tmp_path: Path) -> None:
    """Of the demo, whose passwords are variables; neither starts when one is missing."""
    new_env(tmp_path, "demo")
    team = read_env(tmp_path / "team.env")
    for container in containers():
        known = {each["name"]: each.get("value", "a secret, long enough") for each in container["env"]}
        if "daybreak-team" in taken_whole(container.get("envFrom", [])):
            known |= team
        load(ROOT / "stack" / "demo" / "daybreak.yaml", known)


def test_the_host_knows_what_it_knows_in_the_compose_file(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    (host,) = (each for each in containers() if each["name"] == "host")
    assert {each["name"] for each in host["env"]} == set(services["host"]["environment"])


def test_every_secret_is_one_that_the_page_makes_and_none_is_written_down() -> None:
    made = set()
    for name, words in re.findall(r"create secret generic (\S+) ((?:.*\\\n)*.*)", PAGE):
        made |= {(name, key) for key in re.findall(r"--from-literal=([a-z-]+)=", words)}
    assert secrets() == made
    whole = set(re.findall(r"create secret generic (\S+) --from-env-file=", PAGE))
    assert taken_whole(yaml.safe_load(VALUES["extraEnvFrom"])) == whole
    for container in containers():
        for variable in container["env"]:
            assert "value" not in variable or not re.search("PASSWORD|TOKEN|KEY|CONN", variable["name"])


def test_image_and_user_are_ours_and_nothing_runs_as_root() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert VALUES["defaultAirflowTag"] == version
    image = f"{VALUES['defaultAirflowRepository']}:{version}"
    assert (VALUES["uid"], VALUES["gid"]) == (10001, 10001)
    for container in containers():
        assert container["image"] == image
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/etc/daybreak" in mounts
    assert VALUES["volumeMounts"][0]["mountPath"] == image_environment()["DAYBREAK_CONFIG"].rpartition("/")[0]
    assert "kubernetes" in (ROOT / "requirements.in").read_text(), "the executor's provider is in the image"
