"""The ``es`` API of 2015, answered by ministack's OpenSearch: the same domains under the older names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

_PATHS = (
    ("/2015-01-01/es/", "/2021-01-01/opensearch/"),
    ("/2015-01-01/domain", "/2021-01-01/domain"),
    ("/2015-01-01/tags", "/2021-01-01/tags"),
)
_NAMES = {"ElasticsearchClusterConfig": "ClusterConfig"}
_ENGINE = "Elasticsearch_"


def install(opensearch: ModuleType) -> None:
    """Into ministack's module."""
    modern = opensearch.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        for old, new in _PATHS:
            if path.startswith(old):
                answer = await modern(method, new + path[len(old) :], headers, _to_modern(body), query)
                status, answer_headers, answer_body = answer
                return status, answer_headers, _to_legacy(answer_body)
        return await modern(method, path, headers, body, query)

    opensearch.handle_request = handle_request


def to_modern(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Members of the old API, and of ``AWS::Elasticsearch::Domain``, under OpenSearch's names."""
    renamed = {_NAMES.get(name, name): value for name, value in properties.items()}
    if "ElasticsearchVersion" in renamed:
        renamed["EngineVersion"] = _ENGINE + str(renamed.pop("ElasticsearchVersion"))
    return renamed


def _to_modern(body: bytes) -> bytes:
    if not body:
        return body
    wanted = to_modern(json.loads(body))
    if "DomainName" in wanted:
        wanted.setdefault("EngineVersion", f"{_ENGINE}1.5")  # the old API's own default
    return json.dumps(wanted).encode()


def _to_legacy(body: bytes | str) -> bytes:
    text = body.decode() if isinstance(body, bytes) else body
    return json.dumps(_legacy(json.loads(text))).encode() if text else b""


def _legacy(value: Any) -> Any:
    if isinstance(value, list):
        return [_legacy(each) for each in value]
    if not isinstance(value, dict):
        return value
    renamed = {old: new for new, old in _NAMES.items()}
    found = {renamed.get(name, name): _legacy(each) for name, each in value.items()}
    if isinstance(found.get("EngineVersion"), str):
        found["ElasticsearchVersion"] = found.pop("EngineVersion").removeprefix(_ENGINE)
    return found
