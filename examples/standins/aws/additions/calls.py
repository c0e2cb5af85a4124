"""Which AWS call a request is: account, region, service, action, and what it is about.

Query and JSON protocols say it themselves (``Action=``, ``X-Amz-Target``). The REST ones are looked up in
botocore's own service models, which ministack brings along.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
#: What requests are signed for, where boto3 calls its client differently.
_CLIENTS = {
    "elasticmapreduce": "emr",
    "tagging": "resourcegroupstaggingapi",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "kinesisanalytics": "kinesisanalyticsv2",
    "elasticloadbalancing": "elbv2",
    "elasticfilesystem": "efs",
    "email": "ses",
    "aoss": "opensearchserverless",
}
_READING = re.compile(
    r"^(Describe|Get|List|Head|BatchGet|BatchDescribe|Scan|Query|TransactGet|Lookup|Select|Filter|Search|Validate|"
    r"Estimate|Simulate|Decode|AssumeRole|Check|Preview)"
)


class Protocol(StrEnum):
    """How errors of a service are written."""

    JSON = "json"
    REST_JSON = "rest-json"
    REST_XML = "rest-xml"
    QUERY = "query"
    EC2 = "ec2"


@dataclass(frozen=True)
class Call:
    """One request to AWS.

    :param service: name of boto3's client (``emr``, not ``elasticmapreduce``).
    :param params: the request's parameters by their names in the API, undecoded.
    """

    account: str
    region: str
    service: str
    action: str
    protocol: Protocol
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mutating(self) -> bool:
        """Whether it may change something; EC2's dry runs do not."""
        if str(self.params.get("DryRun", "")).lower() == "true":
            return False
        return not _READING.match(self.action)

    @property
    def resources(self) -> list[str]:
        """Names, ids, ARNs and URLs that the request names."""
        if self.service == "s3":
            return _s3_resources(self.params)
        found: list[str] = []
        for name, value in self.params.items():
            if name == "RequestItems" and isinstance(value, dict):  # DynamoDB's batches, by table
                found += value
            elif _IDENTIFIER.search(name) and not _NO_IDENTIFIER.search(name):
                found += [
                    each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)
                ]
        return list(dict.fromkeys(found))


_IDENTIFIER = re.compile(r"(^name|Names?|^Resource|Arns?|ARNs?|ARNList|Urls?|Ids?|TablesToDelete)$")
_NO_IDENTIFIER = re.compile(r"Token|Request|AttributeName|KeyName|ReplyTo|Message|Receipt|IndexName")


def identify(scope: Mapping[str, Any], body: bytes) -> Call | None:
    """The call that an ASGI request is; ``None`` when it is not a signed AWS call."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    credential = _SCOPE.search(headers.get("authorization", ""))
    if credential is None and "X-Amz-Credential" in query:
        credential = _SCOPE.search(f"Credential={query['X-Amz-Credential']}")
    if credential is None:
        return None
    key, region, signed_for = credential.groups()
    service = _CLIENTS.get(signed_for, signed_for)
    method = scope["method"]
    # Undecoded: an ARN in a path holds slashes.
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    action, protocol, params = _operation(service, method, path, query, headers, body)
    if service == "es":  # one signing name, two clients
        service = "es" if path.startswith("/2015-01-01") else "opensearch"
    return Call(_account(key), region, service, action, protocol, method, params)


def _account(key: str) -> str:
    if re.fullmatch(r"\d{12}", key):
        return key
    from ministack.core import responses
    from ministack.core.iam_evaluator import find_iam_access_key_account

    before = responses.get_account_id()
    try:
        responses.set_request_account_id(find_iam_access_key_account(key) or key)
        return str(responses.get_account_id())
    finally:
        responses.set_request_account_id(before)


def _operation(
    service: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> tuple[str, Protocol, dict[str, Any]]:
    if target := headers.get("x-amz-target"):
        return target.rsplit(".", 1)[-1], Protocol.JSON, _json(body)
    if rpc := re.fullmatch(r"/service/\w+/operation/(\w+)", path):
        return rpc.group(1), Protocol.JSON, _json(body)
    form = dict(query)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if "Action" in form:
        action = form.pop("Action")
        form.pop("Version", None)
        return action, Protocol.EC2 if service == "ec2" else Protocol.QUERY, _unflatten(form)
    for model in _models(service):
        found = _match(model, method, path, query, headers)
        if found is not None:
            action, params = found
            protocol = Protocol.REST_XML if model.protocol == "rest-xml" else Protocol.REST_JSON
            return action, protocol, {**_json(body), **params} if protocol is Protocol.REST_JSON else params
    return f"{method} {path}", Protocol.REST_XML if service == "s3" else Protocol.REST_JSON, dict(query)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _unflatten(form: Mapping[str, str]) -> dict[str, Any]:
    """``{"InstanceId.1": a, "InstanceId.2": b}`` to ``{"InstanceId": [a, b]}``; not deeper."""
    params: dict[str, Any] = {}
    for name, value in form.items():
        listed = re.fullmatch(r"(\w+)\.(?:member\.)?\d+", name)
        if listed:
            params.setdefault(listed.group(1), []).append(value)
        elif "." not in name:
            params[name] = value
    return params


# REST: paths of botocore's models


@dataclass(frozen=True)
class _Route:
    action: str
    method: str
    path: re.Pattern[str]
    literals: Mapping[str, str]
    required_query: frozenset[str]
    required_headers: frozenset[str]
    query_names: Mapping[str, str]


@dataclass(frozen=True)
class _Model:
    protocol: str
    routes: tuple[_Route, ...]


def _models(service: str) -> Iterator[_Model]:
    """A service's REST model; ``es`` and ``opensearch`` are signed alike, and told apart by their paths."""
    for name in ("es", "opensearch") if service == "es" else (service,):
        model = _model(name)
        if model is not None:
            yield model


@functools.cache
def _model(service: str) -> _Model | None:
    import botocore.session
    from botocore.exceptions import UnknownServiceError

    try:
        model = botocore.session.get_session().get_service_model(service)
    except UnknownServiceError:
        return None
    protocol = str(model.metadata.get("protocol", ""))
    if not protocol.startswith("rest"):
        return None
    return _Model(protocol, tuple(_route(model.operation_model(name)) for name in model.operation_names))


def _route(operation: Any) -> _Route:
    path, _, literal = operation.http["requestUri"].partition("?")
    shape = operation.input_shape
    members = dict(shape.members) if shape else {}
    required = set(shape.required_members) if shape else set()
    by_place: dict[str, dict[str, str]] = {"querystring": {}, "header": {}}
    for name, member in members.items():
        place = member.serialization.get("location")
        if place in by_place:
            by_place[place][member.serialization.get("name", name)] = name

    def needed(place: str) -> frozenset[str]:
        return frozenset(wire.lower() for wire, name in by_place[place].items() if name in required)

    pattern = re.sub(r"\{(\w+)(\\?\+)?\}", _group, re.escape(path).replace(r"\{", "{").replace(r"\}", "}"))
    literals = {name: value for name, value in parse_qsl(literal, keep_blank_values=True) if name != "x-id"}
    return _Route(
        operation.name,
        operation.http["method"],
        re.compile(pattern.rstrip("/") + "/?"),
        literals,
        needed("querystring"),
        needed("header"),
        by_place["querystring"],
    )


def _group(match: re.Match[str]) -> str:
    return f"(?P<{match.group(1)}>{'.+' if match.group(2) else '[^/]+'})"


def _match(
    model: _Model, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str, dict[str, Any]] | None:
    """The route that says most about this request."""
    given = {name.lower() for name in query}
    best: tuple[int, _Route, dict[str, str]] | None = None
    for route in model.routes:
        if route.method != method:
            continue
        found = route.path.fullmatch(path)
        if (
            found is None
            or any(query.get(name) != value for name, value in route.literals.items())
            or not route.required_query <= given
            or not route.required_headers <= headers.keys()
        ):
            continue
        fixed = len(route.path.pattern) - 20 * len(found.groupdict())  # words of the path beat its variables
        score = 1000 * len(route.literals) + 100 * len(route.required_query | route.required_headers) + fixed
        if best is None or score > best[0]:
            best = score, route, found.groupdict()
    if best is None:
        return None
    _, route, labels = best
    params: dict[str, Any] = {
        route.query_names[name]: value for name, value in query.items() if name in route.query_names
    }
    params |= {name: unquote(value) for name, value in labels.items()}
    return route.action, params


def _s3_resources(params: Mapping[str, Any]) -> list[str]:
    bucket, key = params.get("Bucket"), params.get("Key")
    if not bucket:
        return []
    return [f"{bucket}/{key}"] if key else [str(bucket)]


# For the journal

#: Beside identifiers, the words whose values are written down: choices and places, never contents.
_PLAIN = re.compile(
    r"(State|States|Status|Type|Types|Mode|Bucket|Key|Prefix|Expression|Attribute|Capabilities|Select"
    r"|ClientRequestToken)$"
)
_LONG = 200


def summary(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without secrets and without bulk: what is not known to be harmless is only counted."""
    return {name: _short(name, value) for name, value in params.items()}


def _short(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, (str, list)):
        return f"<{len(value)} items>"
    harmless = (_IDENTIFIER.search(name) and not _NO_IDENTIFIER.search(name)) or _PLAIN.search(name)
    if isinstance(value, str):
        return value if harmless and len(value) <= _LONG else f"<{len(value)} characters>"
    if harmless and len(value) <= _LONG and all(isinstance(each, str) for each in value):
        return [_short(name, each) for each in value]
    return f"<{len(value)} items>"
