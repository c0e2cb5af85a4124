"""Socket Mode: Slack without a public address. What comes in is written into the inbox, then acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.talk.slack import incoming

if TYPE_CHECKING:
    from slack_sdk.socket_mode import SocketModeClient

    from daybreak.registry.inbox import Inbox
    from daybreak.talk.slack.app import Access

log = logging.getLogger(__name__)

_KINDS = ("events_api", "slash_commands", "interactive")


class Listener:
    """One socket, opened again whenever Slack or the network closes it.

    :param wake: is called when there is something in the inbox.
    """

    def __init__(self, inbox: Inbox, access: Access, wake: Callable[[], None]) -> None:
        self._inbox, self._access, self._wake = inbox, access, wake
        self._client: SocketModeClient | None = None

    def start(self) -> Listener:
        """Connect; from then on requests are taken in threads of the SDK.

        :raises UsageError: when there is no app token.
        """
        from slack_sdk.socket_mode import SocketModeClient

        if not self._access.app_token:
            raise UsageError("no app token: set DAYBREAK_SLACK__APP_TOKEN (docs/slack.md, Socket Mode)")
        client = SocketModeClient(self._access.app_token, web_client=self._access.client)
        client.socket_mode_request_listeners.append(self._take)
        client.connect()
        self._client = client
        return self

    @property
    def connected(self) -> bool:
        """Whether the socket is open now."""
        return self._client is not None and self._client.is_connected()

    def stop(self) -> None:
        """Close it."""
        if self._client is not None:
            self._client.close()

    def _take(self, client: Any, request: Any) -> None:
        from slack_sdk.socket_mode.response import SocketModeResponse

        new = False
        if request.type in _KINDS:
            try:
                found = incoming.read(request.type, request.payload)
                # When it cannot be written down it is not acknowledged: Slack brings it again, or says so.
                new = found is not None and self._inbox.record(found.key, "slack", found.said.to_json())
            except UsageError as error:
                log.warning("%s", error)
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id))
        if new:
            self._wake()
