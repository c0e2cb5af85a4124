"""What a person does next about a fault, by its code: pure."""

from __future__ import annotations

_REBUILD = "then `daybreak env rebuild {name}`"
_BY_CODE = {
    "wrong_account": f"correct the account or its connection in daybreak.yaml, {_REBUILD}",
    "not_armed": f"look at `daybreak scorch {{name}} --plan`; an admin may run `daybreak arm`, {_REBUILD}",
    "frozen": f"`daybreak thaw` when it is over, {_REBUILD}",
    "plan_too_large": "look at `daybreak scorch {name} --plan`; raise scorch.cap or scorch.ratio if it is "
    f"right, {_REBUILD}",
    "marker_missing": "that database is not known to be ours: rename it or drop it by hand if it may go, "
    f"{_REBUILD}",
    "marker_mismatch": "that database belongs to another environment or provisioning: see "
    "`daybreak scorch {name} --plan` before anybody drops it",
    "marker_unreadable": f"look whether the SQL server answers, {_REBUILD}",
    "forbidden_database": "give the environment a server or a name of its own in daybreak.yaml",
    "protected": f"take the tag `daybreak:protect` off if it may go, {_REBUILD}",
    "untagged": f"find out who made it; tag it or take it away by hand, {_REBUILD}",
    "stack_failed": f"look at the stack's events in AWS, {_REBUILD}",
    "not_built": f"look at its build in this run, mend main, {_REBUILD}",
    "build_failed": f"look at its build in this run, mend main, {_REBUILD}",
    "deploy_failed": f"look at the `deploy` task's log, {_REBUILD}",
    "unhealthy": f"look at the service's log, {_REBUILD}",
    "host_down": f"start `daybreak host` on that machine, {_REBUILD}",
    "migration_failed": f"mend the migration on main, {_REBUILD}",
    "seed_failed": f"mend the seed on main, {_REBUILD}",
    "op_busy": "another step is at work on it: `daybreak env status {name}`",
    "night_busy": "another run has it: `daybreak env status {name}`",
    "lost_op": f"another run took over; `daybreak env status {{name}}`, {_REBUILD}",
    "incomplete": f"look at its last task in this run: it was killed or never began, {_REBUILD}",
}


def next_step(environment: str, code: str) -> str:
    """A short sentence without its full stop; every fault has one."""
    known = _BY_CODE.get(code, f"`daybreak env status {{name}}` and the failed task's log, {_REBUILD}")
    return known.format(name=environment)
