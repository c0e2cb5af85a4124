"""DynamoDB: a table that was deleted may still be there for a while, as on AWS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from examples.standins.aws.additions.faults import Faults


def install(dynamodb: ModuleType, faults: Faults) -> None:
    """Into ministack's module."""
    from ministack.core.responses import error_response_json, get_account_id, json_response

    delete = dynamodb._delete_table

    def delete_later(data: Mapping[str, Any]) -> Any:
        name = dynamodb._normalize_table_name(data.get("TableName"))
        table = dynamodb._tables.get(name)
        if table is not None and table["TableStatus"] == "DELETING":
            busy = f"Attempt to change a resource which is still in use: Table is being deleted: {name}"
            return error_response_json("ResourceInUseException", busy, 400)
        protected = table is None or table.get("DeletionProtectionEnabled")
        seconds = 0.0 if protected else faults.linger_seconds(get_account_id(), name)
        if not seconds:
            return delete(data)
        table["TableStatus"] = "DELETING"
        # The account of the request goes with it: it is a context variable.
        asyncio.get_running_loop().call_later(seconds, delete, data)
        return json_response({"TableDescription": dynamodb._table_description(name)})

    dynamodb._delete_table = delete_later
