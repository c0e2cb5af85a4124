"""The interlocks that stand before everything that changes an AWS account; each has its own refusal code.

They are cheap and are asked again in every task, and before every item: an answer of an hour ago proves
nothing. On doubt nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from daybreak.deploy.driver import Target
from daybreak.errors import Refused

ENV_TAG = "daybreak:env"
NONCE_TAG = "daybreak:nonce"
PROTECT_TAG = "daybreak:protect"


class Code(StrEnum):
    """Why something was refused (the whole operation) or spared (one resource)."""

    WRONG_ACCOUNT = "wrong_account"
    NOT_ARMED = "not_armed"
    FROZEN = "frozen"
    PLAN_TOO_LARGE = "plan_too_large"
    PLAN_STALE = "plan_stale"
    MARKER_MISSING = "marker_missing"
    MARKER_MISMATCH = "marker_mismatch"
    MARKER_UNREADABLE = "marker_unreadable"
    FORBIDDEN_DATABASE = "forbidden_database"
    PROTECTED = "protected"
    UNTAGGED = "untagged"
    OTHER_ENVIRONMENT = "other_environment"
    OTHER_NONCE = "other_nonce"
    TAGS_UNREADABLE = "tags_unreadable"
    NOT_A_MEMBER = "not_a_member"
    CHANGED = "changed_since_plan"
    GONE = "gone"
    HAS_FILTERS = "has_filters"
    FAILED = "failed"


@dataclass(frozen=True)
class Interlocks:
    """What must hold before a mutation.

    :param allowed: the allow-list of accounts (``settings.aws.accounts``).
    :param armed: whether an admin ran ``daybreak arm`` for this account.
    :param frozen: whether somebody pulled the kill switch; asked before every item.
    :param recorded_account: the account that the registry's row holds; ``None`` when there is no row.
    """

    allowed: Collection[str]
    armed: Callable[[str], bool]
    frozen: Callable[[], bool]
    recorded_account: str | None = None

    def check(self, target: Target, *, destroys: bool) -> None:
        """Return only when all hold; ``armed`` matters only to what destroys.

        :raises Refused: ``frozen``, ``wrong_account`` or ``not_armed``; nothing was changed.
        """
        self.check_frozen(target)
        self.check_account(target)
        if destroys and not self.armed(target.environment.account):
            raise Refused(
                f"account {target.environment.account} is not armed, so nothing of {target.environment.name} "
                f"is deleted. Look at the plan, then let an admin run `daybreak arm "
                f"{target.environment.account}`.",
                code=Code.NOT_ARMED,
            )

    def check_frozen(self, target: Target) -> None:
        """The kill switch alone.

        :raises Refused: ``frozen``.
        """
        if self.frozen():
            raise Refused(
                f"Daybreak is frozen; {target.environment.name} stays as it is until `daybreak thaw`.",
                code=Code.FROZEN,
            )

    def check_account(self, target: Target) -> None:
        """Ask AWS whose credentials these are, and compare with everything that we were told.

        :raises Refused: ``wrong_account``.
        """
        name, expected = target.environment.name, target.environment.account
        if expected not in self.allowed:
            raise Refused(
                f"account {expected} of {name} is not on the allow-list aws.accounts of daybreak.yaml.",
                code=Code.WRONG_ACCOUNT,
            )
        if self.recorded_account is not None and self.recorded_account != expected:
            raise Refused(
                f"daybreak.yaml says that {name} lives in account {expected}, the registry says "
                f"{self.recorded_account}. Nothing was changed; put the right one into daybreak.yaml.",
                code=Code.WRONG_ACCOUNT,
            )
        actual = str(target.client("sts").get_caller_identity()["Account"])
        if actual != expected:
            raise Refused(
                f"{name} lives in account {expected}, but these credentials are of account {actual}. Nothing "
                f"was changed; correct the account's `connection` or `profile` in daybreak.yaml.",
                code=Code.WRONG_ACCOUNT,
            )


@dataclass(frozen=True)
class Verdict:
    """Why a resource is left alone: a code, and a sentence for people."""

    code: Code
    reason: str


def judge(tags: Mapping[str, str] | None, environment: str, nonces: Collection[str]) -> Verdict | None:
    """Whether tags select a resource positively: ``None`` when they do, else why it is spared.

    :param tags: the resource's own tags as just read; ``None`` when they could not be read.
    :param nonces: the nonces that are accepted now.
    """
    if tags is None:
        return Verdict(Code.TAGS_UNREADABLE, "its tags cannot be read")
    if PROTECT_TAG in tags:
        return Verdict(Code.PROTECTED, f"it is tagged {PROTECT_TAG}")
    if ENV_TAG not in tags or NONCE_TAG not in tags:
        return Verdict(Code.UNTAGGED, f"it is not tagged {ENV_TAG} and {NONCE_TAG}")
    if tags[ENV_TAG] != environment:
        return Verdict(Code.OTHER_ENVIRONMENT, f"its {ENV_TAG} is {tags[ENV_TAG]}, not {environment}")
    if tags[NONCE_TAG] not in nonces:
        return Verdict(Code.OTHER_NONCE, f"its {NONCE_TAG} {tags[NONCE_TAG]} is of another provisioning")
    return None
