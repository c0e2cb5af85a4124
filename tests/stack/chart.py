"""The fields of the official Airflow Helm chart that ``stack/kubernetes/values.yaml`` sets, as a JSON schema.

Written by hand, of chart 1.22: from its release notes, and from the schema, values and templates that
Airflow's repository had shortly before it (between 1.20 and 1.21) and after it (what becomes 2.0). A field is
here when both have it, so that nothing is set that is about to go. What is of Kubernetes (``volumes`` and the
like) is only a list of objects here; ``test_kubernetes.py`` asks Kubernetes' models about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

#: What docs/kubernetes.md installs.
CHART = "1.22.0"

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_ID: Schema = {"type": "integer"}
_SWITCH: Schema = {"type": "boolean"}
_QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9.]+(m|[KMG]i?)?$"}


def _only(fields: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def _each(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_ENABLED = _only({"enabled": _SWITCH}, "enabled")
_GROOMER = {"logGroomerSidecar": _ENABLED}
_SECRET = ("envName", "secretName", "secretKey")
_AMOUNTS = _only({"cpu": _QUANTITY, "memory": _QUANTITY})

SCHEMA: Schema = _only(
    {
        "airflowVersion": {"type": "string", "pattern": r"^3\.\d+\.\d+$"},
        "executor": {"enum": ["KubernetesExecutor", "CeleryExecutor"]},
        "defaultAirflowRepository": _TEXT,
        "defaultAirflowTag": _TEXT,
        "uid": _ID,
        "gid": _ID,
        "airflowHome": _TEXT,
        # Each names a Secret; `secrets()` in test_kubernetes.py has the keys that the templates read of it.
        "data": _only({"metadataSecretName": _TEXT}, "metadataSecretName"),
        "fernetKeySecretName": _TEXT,
        "apiSecretKeySecretName": _TEXT,
        "jwtSecretName": _TEXT,
        "postgresql": _ENABLED,
        "redis": _ENABLED,
        "statsd": _ENABLED,
        "migrateDatabaseJob": _ENABLED,
        "createUserJob": _ENABLED,
        "scheduler": _only(_GROOMER),
        "dagProcessor": _only(_GROOMER),
        "triggerer": _only({"persistence": _ENABLED, **_GROOMER}),
        # Sections and options are Airflow's. A boolean would be written as `true`, a large number as 1e+06.
        "config": {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "env": _each(_only({"name": _TEXT, "value": {"type": "string"}}, "name", "value")),
        "secret": _each(_only(dict.fromkeys(_SECRET, _TEXT), *_SECRET)),
        # A template of text.
        "extraEnvFrom": _TEXT,
        "volumes": _each({"type": "object"}),
        "volumeMounts": _each({"type": "object"}),
        # `workers.resources` and its like are deprecated in 1.22 and no fields of 2.0.
        "workers": _only(
            {
                "kubernetes": _only(
                    {
                        "resources": _only({"requests": _AMOUNTS, "limits": _AMOUNTS}),
                        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 0},
                    }
                )
            }
        ),
    },
    "airflowVersion",
    "executor",
    "data",
)  # fmt: skip


def refused(values: Any) -> Iterator[str]:
    """What of ``values`` is no field of the chart that we know, or of a wrong type; each with its path."""
    for error in Draft202012Validator(SCHEMA).iter_errors(values):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'values'}: {error.message}"
