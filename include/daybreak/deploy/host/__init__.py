"""``daybreak host``: the process that owns deployed services beyond the task that deployed them.

One host for each ``$DAYBREAK_HOME``. It starts services in sessions of their own, asks ``GET /healthz``,
keeps their output in rotated files, restarts what crashed with exponential backoff, and ends them all when it
ends, even by SIGKILL. What should run is in ``<home>/host/state.json``, so that a restarted host revives it.
Everything talks to it through :class:`HostClient`, over a unix socket that only the same user can open, and
from other machines over TCP with a token, where the settings have `host:`.
"""

from __future__ import annotations

from daybreak.deploy.host.client import HostClient, HostDown, ServiceUnhealthy
from daybreak.deploy.host.spec import Health, ServiceSpec, ServiceStatus

__all__ = ["Health", "HostClient", "HostDown", "ServiceSpec", "ServiceStatus", "ServiceUnhealthy"]
