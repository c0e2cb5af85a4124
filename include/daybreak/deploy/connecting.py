"""Connections to the databases of environments."""

from __future__ import annotations

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from daybreak.sql import CONNECT_SECONDS, limited


def engine(url: str | URL) -> Engine:
    """An engine without a pool: nothing stays open behind a step. The URL is secret: never log it."""
    made = create_engine(make_url(url), poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    return limited(made)
