"""The two CloudFormation stacks of an environment, with CloudFormation's traps handled.

``base`` holds what is cheap or slow and is kept; ``ephemeral`` holds what costs money and goes every evening.
A stack is touched only when its own tags name this environment and an accepted nonce. What main's template no
longer has is deleted by the stack's update.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from daybreak.deploy.driver import Target
from daybreak.environment import buckets, tags
from daybreak.environment.interlocks import ENV_TAG, NONCE_TAG, Code, Interlocks, Verdict, judge
from daybreak.environment.stacks import events, template
from daybreak.environment.stacks.formation import Formation, Member, StackFailed
from daybreak.errors import Refused, UsageError

_UPDATABLE = frozenset({
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
})  # fmt: skip
#: States from which there is no way but to delete the stack and make it anew.
_STILLBORN = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
_REPAIRS = 6
_DELETIONS = 4
#: So many times without leaving anything behind: what fails once mostly goes a moment later.
_PLAIN_DELETIONS = 2


class Kind(StrEnum):
    """Which of the two stacks."""

    BASE = "base"
    EPHEMERAL = "ephemeral"


class Change(StrEnum):
    """What :meth:`Stacks.ensure` had to do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Inventory:
    """All members of the stacks that are ours, and the stacks of our names that are not, with the reason."""

    members: tuple[Member, ...]
    foreign: tuple[tuple[str, Verdict], ...] = ()

    def of_type(self, type_: str) -> tuple[Member, ...]:
        """The members of one CloudFormation type."""
        return tuple(member for member in self.members if member.type == type_)

    def without(self, stacks: Collection[str]) -> Inventory:
        """What is left when the stacks of these names are gone."""
        return Inventory(
            tuple(member for member in self.members if member.stack not in stacks),
            tuple((name, verdict) for name, verdict in self.foreign if name not in stacks),
        )


@dataclass(frozen=True)
class Deletion:
    """How a stack went: whether it was there, and the logical ids that CloudFormation could not delete."""

    existed: bool
    retained: tuple[str, ...] = ()


class Stacks:
    """The stacks of one environment.

    :param nonces: the accepted nonces; by default the target's own. While a rotation is unfinished, the
        previous one too.
    :param poll: most seconds between two looks at CloudFormation; each is one paged ``DescribeStacks``.
    :param timeout: seconds after which waiting ends with :class:`StackFailed`; the stack goes on by itself.
    """

    def __init__(
        self,
        target: Target,
        interlocks: Interlocks,
        *,
        nonces: Collection[str] = (),
        poll: float = 5.0,
        timeout: float = 5400.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target, self.interlocks = target, interlocks
        self.nonces = frozenset(nonces) | {target.nonce}
        self.formation = Formation(target, poll, timeout, sleep, clock)

    def name(self, kind: Kind | str) -> str:
        """``dev-01-base``: exact, never searched by prefix."""
        return f"{self.target.environment.name}-{Kind(kind)}"

    # What is there

    def facts(self) -> dict[str, str]:
        """Physical ids by logical id, and outputs by key, of both stacks (``Target.stack``).

        :raises UsageError: when both stacks use one name for different things.
        """
        facts: dict[str, str] = {}
        for stack in self._ours():
            found = {member.logical_id: member.physical_id for member in self.formation.members(stack)}
            found.update({each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())})
            for key, value in found.items():
                if facts.setdefault(key, value) != value:
                    raise UsageError(
                        f"{self.target.environment.name}: both stacks have {key!r} (as {facts[key]} and as "
                        f"{value}); rename one of them in the templates."
                    )
        return facts

    def inventory(self) -> Inventory:
        """The members of both stacks now; stacks that are not ours are named with the reason."""
        present = self.formation.stacks()
        foreign = []
        for name in (self.name(kind) for kind in Kind):
            verdict = self._judge(present[name]) if name in present else None
            if verdict is not None:
                foreign.append((name, verdict))
        members = [member for stack in self._ours(present) for member in self.formation.members(stack)]
        return Inventory(tuple(members), tuple(foreign))

    def has(self, kind: Kind | str, template_body: str) -> bool:
        """Whether the stack is ours, nothing is at work on it, and its template is this one."""
        stack = self.formation.stacks().get(self.name(kind))
        if stack is None or self._judge(stack) is not None or stack["StackStatus"] not in _UPDATABLE:
            return False
        there = self.formation.client.get_template(StackName=stack["StackId"])["TemplateBody"]
        return template.same(there, template_body)

    # Changing it

    def ensure(
        self,
        kind: Kind | str,
        template_body: str,
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Change:
        """Make the stack be what the template says, from whatever state it is in, and wait for it.

        Parameters that the template does not declare are left out; ``Environment`` and ``Nonce`` are
        filled in.

        :raises Refused: when the stack is not ours, or the update would delete what is protected.
        :raises StackFailed: with the reasons of the resources that failed.
        """
        name = self.name(kind)
        self.interlocks.check(self.target, destroys=False)
        wanted = template.read(template_body, name)
        request = self._request(name, wanted, parameters or {}, tags or {})
        for _ in range(_REPAIRS):
            stack = self.formation.settled(name)
            if stack is None:
                stack = self.formation.done(name, "create_stack", None, **request)
                self.formation.require(name, stack, {"CREATE_COMPLETE"})
                return Change.CREATED
            self._require_ours(stack)
            status = stack["StackStatus"]
            if status in _UPDATABLE:
                self._require_unprotected(
                    member
                    for member in self.formation.members(stack)
                    if member.logical_id not in wanted.resources
                )
                return self._update(stack, request)
            self._repair(stack)
        raise StackFailed(f"stack {name} is {status} again and again; look at its events, then delete it.")

    def check_ours(self, *kinds: Kind) -> None:
        """Ask whether :meth:`ensure` and :meth:`delete` may touch these stacks, as far as they are there.

        :raises Refused: when one is not ours.
        """
        present = self.formation.stacks()
        for name in map(self.name, kinds):
            if name in present:
                self._require_ours(present[name])

    def check_deletable(self, kind: Kind | str) -> None:
        """Ask everything that :meth:`delete` would, and change nothing.

        :raises Refused: as :meth:`delete`.
        """
        self.interlocks.check(self.target, destroys=True)
        stack = self.formation.stacks().get(self.name(kind))
        if stack is not None:
            self._require_ours(stack)
            self._require_deletable(stack, self.formation.members(stack))

    def delete(self, kind: Kind | str) -> Deletion:
        """Delete the stack and wait for it; buckets of the stack are emptied first. Not there is success.

        What CloudFormation cannot delete after two tries is left behind and reported, unless it has a name of
        its own: then the stack stays ``DELETE_FAILED``, and is deleted by the next call.

        :raises Refused: when the stack is not ours, or something in it is protected: nothing was deleted.
        :raises StackFailed: when it cannot be deleted even so.
        """
        self.interlocks.check(self.target, destroys=True)
        stack = self.formation.settled(self.name(kind))
        if stack is None:
            return Deletion(existed=False)
        self._require_ours(stack)
        return self._remove(stack)

    def _update(self, stack: Mapping[str, Any], request: Mapping[str, Any]) -> Change:
        name = stack["StackName"]
        try:
            after = self.formation.done(name, "update_stack", stack, **request)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return Change.UNCHANGED
            raise
        self.formation.require(name, after, {"UPDATE_COMPLETE"})
        for line in self.formation.reasons(name):
            # The update succeeded, and CloudFormation forgot what it could not delete.
            self.target.log(f"{name}: left behind: {line}")
        return Change.UPDATED

    def _repair(self, stack: Mapping[str, Any]) -> None:
        name, status = stack["StackName"], stack["StackStatus"]
        self.target.log(f"{name} is {status}; repairing it")
        if status in _STILLBORN:
            self._remove(stack)
        elif status == "REVIEW_IN_PROGRESS":
            # The shell of a change set that nobody executed. It has no resources, so nothing is lost with it.
            if self.formation.members(stack):
                raise Refused(f"{name} is {status} but has resources; look at it.", code=Code.PROTECTED)
            self._remove(stack)
        elif status == "UPDATE_FAILED":
            self.formation.done(name, "rollback_stack", stack, StackName=stack["StackId"])
        elif status == "UPDATE_ROLLBACK_FAILED":
            self._continue_rollback(stack)
        else:
            raise StackFailed(f"stack {name} is {status}, which Daybreak cannot repair; look at it.")

    def _continue_rollback(self, stack: Mapping[str, Any]) -> None:
        name = stack["StackName"]
        proceed = functools.partial(
            self.formation.done, name, "continue_update_rollback", StackName=stack["StackId"]
        )
        again = proceed(stack)
        if again is not None and again["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
            stuck = events.stuck(self.target.client("cloudformation"), name)
            self.target.log(f"{name}: rolling back without {', '.join(stuck)}")
            self.formation.require(name, proceed(again, ResourcesToSkip=stuck), {"UPDATE_ROLLBACK_COMPLETE"})

    def _remove(self, stack: Mapping[str, Any]) -> Deletion:
        name, members = stack["StackName"], self.formation.members(stack)
        self._require_deletable(stack, members)
        # The shell of a change set has no template, and no members.
        known = self._template(stack) if members else template.NOTHING
        self._empty_buckets(members, known.retained)
        retained: list[str] = []
        left: Mapping[str, Any] | None = stack
        for attempt in range(1, _DELETIONS + 1):
            request: dict[str, Any] = {"StackName": stack["StackId"]}
            if retained:
                request["RetainResources"] = retained
            left = self.formation.done(name, "delete_stack", left, **request)
            if left is None or left["StackId"] != stack["StackId"]:
                if retained:
                    self.target.log(f"{name}: deleted, but CloudFormation left {', '.join(retained)}")
                return Deletion(existed=True, retained=tuple(retained))
            failed = {*retained, *self.formation.resources_with(left, "DELETE_FAILED")}
            if failed & known.named:
                # Left behind it would hold its name, and no stack could be made any more: it stays a member,
                # which the next deletion finds.
                retained = []
            elif attempt >= _PLAIN_DELETIONS:
                retained = sorted(failed)
        raise StackFailed(f"stack {name} cannot be deleted: {'; '.join(self.formation.reasons(name))}")

    def _template(self, stack: Mapping[str, Any]) -> template.Template:
        client = self.target.client("cloudformation")
        body = client.get_template(StackName=stack["StackId"])["TemplateBody"]
        return template.read(body, stack["StackName"])

    def _empty_buckets(self, members: Iterable[Member], kept: Collection[str]) -> None:
        for bucket in members:
            if bucket.type != "AWS::S3::Bucket" or bucket.logical_id in kept:
                continue
            try:
                verdict = judge(
                    tags.read(self.target, bucket.type, bucket.physical_id),
                    self.target.environment.name,
                    self.nonces,
                )
            except tags.Gone:
                continue
            if verdict is None:
                buckets.empty(self.target, bucket.physical_id)
            else:
                self.target.log(f"{bucket.physical_id} is not emptied: {verdict.reason}")

    # Small steps

    def _request(
        self, name: str, wanted: template.Template, parameters: Mapping[str, str], extra: Mapping[str, str]
    ) -> dict[str, Any]:
        own = {"Environment": self.target.environment.name, "Nonce": self.target.nonce}
        values = {**self.target.environment.parameters, **parameters, **own}
        labels = {**extra, ENV_TAG: own["Environment"], NONCE_TAG: own["Nonce"]}
        return {
            "StackName": name,
            "TemplateBody": wanted.body,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in sorted(values.items())
                if key in wanted.parameters
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(labels.items())],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }

    def _ours(self, present: Mapping[str, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        present = self.formation.stacks() if present is None else present
        stacks = (present.get(self.name(kind)) for kind in Kind)
        return [stack for stack in stacks if stack is not None and self._judge(stack) is None]

    def _judge(self, stack: Mapping[str, Any]) -> Verdict | None:
        labels = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
        return judge(labels, self.target.environment.name, self.nonces)

    def _require_ours(self, stack: Mapping[str, Any]) -> None:
        verdict = self._judge(stack)
        if verdict is not None:
            raise Refused(
                f"stack {stack['StackName']} is not touched: {verdict.reason}. If it belongs to "
                f"{self.target.environment.name}, tag or delete it by hand.",
                code=verdict.code,
            )

    def _require_deletable(self, stack: Mapping[str, Any], members: Iterable[Member]) -> None:
        self._require_unprotected(members)
        if stack.get("EnableTerminationProtection"):
            raise Refused(
                f"stack {stack['StackName']} has termination protection, so it stays.", code=Code.PROTECTED
            )

    def _require_unprotected(self, members: Iterable[Member]) -> None:
        doomed = list(members)
        if not doomed:
            return
        protected = tags.protected_ids(self.target, {member.type for member in doomed})
        if protected is None:
            raise Refused(
                "AWS does not say what is protected, so nothing is deleted.", code=Code.TAGS_UNREADABLE
            )
        for member in doomed:
            verdict: Verdict | None = None
            if tags.last_part(member.physical_id) in protected:
                verdict = judge({"daybreak:protect": ""}, "", ())
            elif tags.readable(member.type):
                try:
                    verdict = judge(tags.read(self.target, member.type, member.physical_id), "", ())
                except tags.Gone:
                    continue
            if verdict is not None and verdict.code in {Code.PROTECTED, Code.TAGS_UNREADABLE}:
                raise Refused(
                    f"stack {member.stack} is not changed: {member.logical_id} ({member.physical_id}) "
                    f"would go, but {verdict.reason}.",
                    code=verdict.code,
                )
