"""Posting to Slack through Airflow's connection. Nobody's work depends on it: what fails is in the log."""

from __future__ import annotations

import logging

from airflow.providers.slack.hooks.slack import SlackHook
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState

from daybreak.settings import Slack
from daybreak.talk.message import Message

log = logging.getLogger(__name__)

#: Seconds: for one answer, and the longest `Retry-After` that is waited for; with two tries more, a post ends
#: within two minutes, well inside the timeout of the task that reports.
_TIMEOUT, _PATIENCE = 10, 30

_NEXT = {
    "invalid_auth": "put a bot token into the connection",
    "not_authed": "put a bot token into the connection",
    "token_revoked": "put a new bot token into the connection",
    "account_inactive": "put a new bot token into the connection",
    "missing_scope": "give the app the scope `chat:write`",
    "channel_not_found": "correct `slack.channel` in daybreak.yaml, or invite the bot",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "name another `slack.channel` in daybreak.yaml",
    "ratelimited": "it was told later than we wait; the report is in the registry",
}


class _Patience(RateLimitErrorRetryHandler):
    """Waits as long as Slack asks, unless that is longer than the night should be held up."""

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        asked = next(
            (value[0] for name, value in response.headers.items() if name.lower() == "retry-after"), "1"
        )
        return asked.isdigit() and int(asked) <= _PATIENCE


def post(slack: Slack | None, message: Message) -> bool:
    """Post to the channel of the settings; says whether Slack took it. Never raises, and logs why it did not.

    Blocking; in an event loop call it by ``asyncio.to_thread``, where Airflow's connections work too.
    """
    if slack is None:
        log.info("nobody is told in Slack: daybreak.yaml has no `slack`")
        return False
    hook = SlackHook(
        slack_conn_id=slack.connection,
        timeout=_TIMEOUT,
        retry_handlers=[
            ConnectionErrorRetryHandler(),
            ServerErrorRetryHandler(),
            _Patience(max_retry_count=2),
        ],
    )
    try:
        hook.client.chat_postMessage(
            channel=slack.channel, text=message.text, blocks=list(message.blocks), unfurl_links=False
        )
    except SlackApiError as error:
        code = _code(error)
        todo = _NEXT.get(code, "see api.slack.com/methods/chat.postMessage")
        log.warning(
            "Slack refused the message to %s (connection %s): %s; %s",
            slack.channel, slack.connection, code, todo,
        )  # fmt: skip
        return False
    except Exception as error:
        # No connection of that name, a host that is down, a proxy's HTML: the night is no worse for it.
        log.warning(
            "Slack was not told (connection %s): %s: %s", slack.connection, type(error).__name__, error
        )
        return False
    log.info("told %s in Slack", slack.channel)
    return True


def _code(error: SlackApiError) -> str:
    """Slack's own word, or the beginning of what a proxy said in its place."""
    data = error.response.data
    said = data.get("error") if isinstance(data, dict) else None
    return " ".join(str(said or f"HTTP {error.response.status_code}").split())[:200]
