"""The registry: SQL tables that say who has what, and what happened (PostgreSQL; SQLite for one machine)."""

from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import connect
from daybreak.registry.schema import migrate, require_current, revision

__all__ = ["Clock", "connect", "migrate", "require_current", "revision", "utc_now"]
