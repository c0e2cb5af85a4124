"""What an engineer asks for: the same fields in Airflow's form, over REST, in the CLI and in Slack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.graph import sort_actions
from daybreak.catalog.resource import Action
from daybreak.errors import UsageError
from daybreak.settings import Settings

#: What a deploy by hand can do. Seeding is the night's.
ACTIONS = (Action.BUILD, Action.TEST, Action.CREATE, Action.DEPLOY)
#: A ``git`` ref is no longer than this, and a reason is shown in one line.
_REF, _REASON = 255, 500


@dataclass(frozen=True)
class Request:
    """One BCD. Without ``resources`` and ``everything`` it is about what the environment does not run yet.

    :param ref: branch, ``#12`` or ``pr/12``, tag or commit; ``None`` is the monorepo's main branch.
    :param resources: only these, with the packages that they are made of.
    :param everything: all resources; what runs already is looked at and left, unless it is forced.
    :param force: deploy also what runs already.
    :param remove: take away what the revision does not have any more.
    :param e2e: run the e2e suites of the revision afterwards.
    :param actions: which of build, test, create and deploy.
    :param by: on whose behalf a bot asks; ``None`` is whoever triggered the run.
    """

    environment: str
    ref: str | None = None
    resources: tuple[str, ...] = ()
    everything: bool = False
    force: bool = False
    remove: bool = False
    e2e: bool = False
    actions: tuple[Action, ...] = ACTIONS
    reason: str = ""
    by: str | None = None

    @property
    def changes(self) -> bool:
        """Whether the environment is touched; a run that only builds needs nobody's leave."""
        return Action.CREATE in self.actions or Action.DEPLOY in self.actions

    @property
    def whole(self) -> bool:
        """Whether the environment as a whole is meant, not some resources of it."""
        return not self.resources and {Action.CREATE, Action.DEPLOY} <= set(self.actions)

    @classmethod
    def of(cls, conf: Mapping[str, Any]) -> Request:
        """From a run's conf.

        :raises UsageError: naming the field.
        """
        unknown = sorted(set(conf) - set(cls.__dataclass_fields__))
        if unknown:
            raise UsageError(
                f"conf: no such field: {', '.join(unknown)}; there are: {', '.join(cls.__dataclass_fields__)}"
            )
        environment = _text(conf, "environment", 64)
        if not environment:
            raise UsageError("conf: environment: expected the name of an environment")
        found = cls(
            environment, _text(conf, "ref", _REF) or None, _names(conf, "resources"),
            _flag(conf, "everything"), _flag(conf, "force"), _flag(conf, "remove"), _flag(conf, "e2e"),
            _actions(conf), _text(conf, "reason", _REASON), _text(conf, "by", 255) or None,
        )  # fmt: skip
        if found.resources and found.everything:
            raise UsageError("conf: everything: name resources or say everything, not both")
        if found.resources and found.remove:
            raise UsageError("conf: remove: only a run over the whole environment takes away what is gone")
        return found

    def to_conf(self) -> dict[str, Any]:
        """The conf of a run; :meth:`of` takes it back. What is as by default is left out."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__}
        conf = {
            name: value
            for name, value in said.items()
            if value != getattr(type(self), name, None) and name != "environment"
        }
        for name in ("resources", "actions"):
            if name in conf:
                conf[name] = [str(each) for each in conf[name]]
        return {"environment": self.environment, **conf}

    def check(self, settings: Settings) -> None:
        """Compare with the settings.

        :raises UsageError: an unknown environment, or the merge environment, which is the queue's.
        """
        if settings.environment(self.environment).role == "merge":
            names = ", ".join(each.name for each in settings.environments if each.role != "merge")
            raise UsageError(
                f"{self.environment} is the merge environment: only the merge queue deploys there; "
                f"there are: {names or 'none'}"
            )


def _text(conf: Mapping[str, Any], field: str, longest: int) -> str:
    value = conf.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"conf: {field}: expected a text, found {value!r}")
    value = value.strip()
    if len(value) > longest or not value.isprintable():
        raise UsageError(f"conf: {field}: expected one line of at most {longest} characters")
    return value


def _flag(conf: Mapping[str, Any], field: str) -> bool:
    value = conf.get(field)
    if value is not None and not isinstance(value, bool):
        raise UsageError(f"conf: {field}: expected true or false, found {value!r}")
    return bool(value)


def _names(conf: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = conf.get(field)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"conf: {field}: expected a list of names, found {value!r}")
    return tuple(dict.fromkeys(each.strip() for each in value if each.strip()))


def _actions(conf: Mapping[str, Any]) -> tuple[Action, ...]:
    said = _names(conf, "actions") if conf.get("actions") is not None else ACTIONS
    wrong = [each for each in said if each not in ACTIONS]
    if wrong or not said:
        what = f"no such action: {wrong[0]}" if wrong else "expected at least one"
        raise UsageError(f"conf: actions: {what}; there are: {', '.join(ACTIONS)}")
    return tuple(sort_actions(Action(each) for each in said))
