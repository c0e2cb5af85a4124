"""Errors as each protocol of AWS writes them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from html import escape

from .calls import Call, Protocol

#: What each service says when it is asked too often: status, code, message. The rest follows its protocol.
_THROTTLED = {
    "dynamodb": (400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),
    "ec2": (503, "RequestLimitExceeded", "Request limit exceeded."),
    "cloudformation": (400, "Throttling", "Rate exceeded"),
    "lambda": (429, "TooManyRequestsException", "Rate exceeded"),
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "sqs": (400, "RequestThrottled", "Request is throttled."),
    "resourcegroupstaggingapi": (400, "ThrottledException", "Rate exceeded"),
    "ce": (400, "LimitExceededException", "Rate limit exceeded"),
    "scheduler": (429, "ThrottlingException", "Rate exceeded"),
}
_THROTTLED_BY_PROTOCOL = {
    Protocol.QUERY: (400, "Throttling", "Rate exceeded"),
    Protocol.EC2: (503, "RequestLimitExceeded", "Request limit exceeded."),
    Protocol.REST_XML: (503, "SlowDown", "Please reduce your request rate."),
    Protocol.JSON: (400, "ThrottlingException", "Rate exceeded"),
    Protocol.REST_JSON: (429, "ThrottlingException", "Rate exceeded"),
}
_BROKEN = {
    "dynamodb": "InternalServerError",
    "ec2": "InternalError",
    "s3": "InternalError",
    "lambda": "ServiceException",
    "scheduler": "InternalServerException",
    "glue": "InternalServiceException",
    "events": "InternalException",
}


@dataclass(frozen=True)
class Answer:
    """What is sent instead of ministack's own answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def throttled(call: Call) -> Answer:
    """The service's way to say "too often"."""
    return error(call, *(_THROTTLED.get(call.service) or _THROTTLED_BY_PROTOCOL[call.protocol]))


def broken(call: Call, status: int = 500) -> Answer:
    """The service's way to say that it is its own fault."""
    return error(
        call,
        status,
        _BROKEN.get(call.service, "InternalFailure"),
        "We encountered an internal error. Please try again.",
    )


def error(call: Call, status: int, code: str, message: str) -> Answer:
    """An error in the call's protocol."""
    request = str(uuid.uuid4())
    headers = {"x-amzn-requestid": request}
    if call.protocol in {Protocol.JSON, Protocol.REST_JSON}:
        headers |= {"content-type": "application/x-amz-json-1.0", "x-amzn-errortype": code}
        body = json.dumps({"__type": code, "message": message, "Type": "User" if status < 500 else "Service"})
        return Answer(status, headers, body.encode())
    headers["content-type"] = "text/xml"
    return Answer(
        status,
        headers,
        b"" if call.method == "HEAD" else _xml(call.protocol, status, code, message, request).encode(),
    )


def _xml(protocol: Protocol, status: int, code: str, message: str, request: str) -> str:
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol is Protocol.EC2:
        return f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{request}</RequestID></Response>"
    if protocol is Protocol.REST_XML:
        return f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}<RequestId>{request}</RequestId></Error>'
    side = "Sender" if status < 500 else "Receiver"
    error = f"<Error><Type>{side}</Type>{inner}</Error>"
    return f"<ErrorResponse>{error}<RequestId>{request}</RequestId></ErrorResponse>"
