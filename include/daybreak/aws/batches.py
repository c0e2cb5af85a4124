"""As few calls as possible: pages in, lists of the size that an API takes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def paginate(client: Any, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
    """Every item under ``key`` of all pages: ``paginate(glue, "get_tables", "TableList", …)``."""
    for page in client.get_paginator(operation).paginate(**parameters):
        yield from page.get(key) or ()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size`` items, in order, none empty."""
    if size < 1:
        raise ValueError("a batch holds at least one item")
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
