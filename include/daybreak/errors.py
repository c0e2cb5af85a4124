"""The errors that people meet: what is wrong, where, and what to do next.

Every error that Daybreak raises on purpose is a :class:`DaybreakError`. The CLI prints its message without a
traceback and exits with ``exit_code``; a task fails with it. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class DaybreakError(Exception):
    """An expected failure with a message for people.

    ``code`` is a stable, grep-able word (``wrong_account``, ``cycle`` …) that is also stored with a fault.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(DaybreakError):
    """The call, the settings or a file of the team's is wrong; nothing was changed."""

    code = "usage"
    exit_code = 2


class CatalogError(UsageError):
    """``resources.py`` or a manifest does not describe a catalog."""

    code = "catalog"


class CycleError(CatalogError):
    """Resources depend on each other in a circle; the message shows one shortest cycle."""

    code = "cycle"
    exit_code = 5


class NoBaseError(DaybreakError):
    """The base revision does not exist here or shares no history with head."""

    code = "no_base"
    exit_code = 3


class Refused(DaybreakError):
    """An interlock said no: nothing was deleted. ``code`` names which interlock."""

    code = "refused"


class DeployFailed(DaybreakError):
    """An artifact was not brought to run; the message ends with what the other side said."""

    code = "deploy_failed"


class LostOp(DaybreakError):
    """Another try or another holder took over this environment; this one must change nothing any more."""

    code = "lost_op"


class EnvironmentLocked(DaybreakError):
    """Somebody else holds the environment (exit code 73, as ``EX_CANTCREAT`` of sysexits)."""

    code = "locked"
    exit_code = 73

    def __init__(self, environment: str, owner: str, until: str, reason: str) -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{environment} is locked by {owner} until {until}{why}. Ask them, or take a free one."
        )
        self.environment, self.owner, self.until, self.reason = environment, owner, until, reason
