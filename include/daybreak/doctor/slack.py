"""Slack's app: whether its token is good, and whether it may do what Bobby does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.doctor.finding import Finding
from daybreak.settings import Settings

if TYPE_CHECKING:
    from daybreak.talk.slack.app import Access

_APP = "api.slack.com/apps, your app"


def slack(settings: Settings) -> Iterator[Finding]:
    """Token, scopes, and how Slack reaches us."""
    from slack_sdk.errors import SlackApiError

    from daybreak.talk.slack.app import SCOPES

    if settings.slack is None:
        yield Finding(
            "slack", "warn", "daybreak.yaml has no `slack:`; nobody is told, and there is no Bobby",
            "docs/slack.md makes an app in five minutes",
        )  # fmt: skip
        return
    access, source = _access(settings)
    if access is None:
        yield Finding(
            "slack", "warn", f"the bot token is in Airflow's connection {settings.slack.connection!r}, which "
            f"cannot be read here: {source}",
            "ask where Airflow runs, or set DAYBREAK_SLACK__TOKEN for this command",
        )  # fmt: skip
        return
    try:
        answer = access.client.auth_test()
    except SlackApiError as error:
        word = error.response.get("error") or f"HTTP {error.response.status_code}"
        yield Finding(
            "slack", "fail", f"the token of {source} is refused: {word}",
            f"put the Bot User OAuth Token there ({_APP}, OAuth & Permissions)",
        )  # fmt: skip
        return
    yield Finding("slack", "ok", f"{answer['user']} in {answer['team']}, by {source}")
    given = set(str(answer.headers.get("x-oauth-scopes", "")).split(","))
    if missing := [scope for scope in SCOPES if scope not in given]:
        said = "; ".join(f"{scope} {SCOPES[scope]}" for scope in missing)
        yield Finding(
            "slack scopes",
            "fail",
            f"missing: {said}",
            f"add them ({_APP}, OAuth & Permissions), install again",
        )
    else:
        yield Finding("slack scopes", "ok", ", ".join(SCOPES))
    yield from _doors(access)


def _doors(access: Access) -> Iterator[Finding]:
    from slack_sdk.errors import SlackApiError

    if access.app_token:
        try:
            # Asks for a socket, and opens none.
            access.client.apps_connections_open(app_token=access.app_token)
        except SlackApiError as error:
            yield Finding(
                "slack sockets", "fail", f"the app token is refused: {error.response.get('error')}",
                f"make one with connections:write ({_APP}, Basic Information), and turn Socket Mode on",
            )  # fmt: skip
        else:
            yield Finding("slack sockets", "ok", "`daybreak bots` can connect")
    elif not access.signing_secret:
        yield Finding(
            "slack requests", "warn", "neither a signing secret nor an app token here: Bobby hears nobody",
            "`signing_secret` into the connection's extra (HTTP), or DAYBREAK_SLACK__APP_TOKEN (sockets)",
        )  # fmt: skip
    else:
        yield Finding("slack requests", "ok", "signed ones are taken at <Airflow>/daybreak/slack")


def _access(settings: Settings) -> tuple[Access | None, str]:
    """The app, and where its token is from; or nothing, and why."""
    from daybreak.talk.slack.app import access

    assert settings.slack is not None
    if settings.slack.token is not None:
        return access(settings), "the settings"
    try:
        from daybreak.orchestration.connections import slack

        return slack(settings), f"Airflow's connection {settings.slack.connection!r}"
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
