"""The Home tab: what the reader has, what is free, and who has the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from daybreak.environment.machine import Environment
from daybreak.talk.bobby import views
from daybreak.talk.bobby.views import Scene
from daybreak.talk.reply import Button, Reply, Section
from daybreak.talk.slack import app
from daybreak.talk.slack.message import Block, context, escaped, header
from daybreak.talk.when import show

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.talk.people import Actor

#: Environments of each kind that are shown; a view has at most 100 blocks.
_MOST = 12


def view(installation: Installation, actor: Actor, reply: Reply | None = None) -> dict[str, Any]:
    """The view to publish.

    :param reply: to the button of it that was pressed, shown first.
    """
    scene = Scene.read(installation, actor.person.name if actor.person else None)
    return {"type": "home", "blocks": list(_blocks(scene, reply))}


def _blocks(scene: Scene, reply: Reply | None) -> Iterator[Block]:
    names = [env.name for env in scene.rows]
    if reply is not None:
        yield from app.blocks(
            [Section(f"{'✅' if reply.code == 'ok' else '⚠️'} {reply.text}")], names, "reply"
        )
        yield {"type": "divider"}
    if scene.me is None:
        text = "I do not know who you are here, so you may read only. `/bobby link` tells me."
        yield from app.blocks([Section(text)], names, "stranger")
    own = [env for env in scene.rows if scene.mine(env)]
    free = [env for env in scene.rows if views.free(scene, env)]
    taken = [env for env in scene.rows if env not in own and env not in free]
    yield header("Yours")
    yield from app.blocks([_own(scene, env) for env in own] or [_none(scene, free)], names, "own")
    yield {"type": "divider"}
    yield header(f"Free ({len(free)})")
    yield from app.blocks(_parts(scene, free) or [Section("None at the moment.")], names, "free")
    if taken:
        yield {"type": "divider"}
        yield header("Not free")
        yield from app.blocks(_parts(scene, taken), names, "taken")
    yield context(
        escaped(f"As of {show(scene.now, scene.now, scene.zone)}. `/bobby help` has every command.")
    )


def _parts(scene: Scene, rows: Sequence[Environment]) -> list[Section]:
    shown = [Section(views.line(scene, env), views.buttons(scene, env)) for env in rows[:_MOST]]
    if len(rows) > _MOST:
        shown.append(Section(f"… and {len(rows) - _MOST} more: `/bobby status`"))
    return shown


def _own(scene: Scene, env: Environment) -> Section:
    text = "\n".join(filter(None, [views.line(scene, env), views.tonight(scene, env)]))
    return Section(text, views.buttons(scene, env))


def _none(scene: Scene, free: Sequence[Environment]) -> Section:
    take = (Button("Take one", "lock any", "primary"),) if free and scene.me else ()
    return Section("You have no environment.", take)
