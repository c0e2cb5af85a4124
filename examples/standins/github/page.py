"""One page for each pull request, to read: what its people and its bots wrote."""

from __future__ import annotations

import html
import re

from examples.standins.github.state import Pull, Repo

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
article { border: 1px solid #d0d7de; border-radius: 6px; margin: 1rem 0; padding: .5rem 1rem }
pre { white-space: pre-wrap; font: inherit } small, .dim { color: #59636e }
b.open { color: #1a7f37 } b.merged { color: #8250df } b.closed { color: #d1242f }
"""


def render(repo: Repo, pull: Pull) -> str:
    """The page."""
    state = "merged" if pull.merged_by else "open" if pull.open else "closed"
    parts = [
        f"<title>#{pull.number} {_text(pull.title)}</title><style>{_STYLE}</style>",
        f"<h1>{_text(pull.title)} <span class=dim>#{pull.number}</span></h1>",
        f"<p><b class={state}>{'draft' if pull.draft and pull.open else state}</b> "
        f"{_text(pull.author.login)}: <code>{_text(pull.branch)}</code> → "
        f"<code>{_text(pull.base)}</code>, head "
        f"<code>{pull.head[:12]}</code> {' '.join(f'[{_text(name)}]' for name in pull.labels)}</p>",
    ]
    latest = {each["context"]: each for each in repo.statuses if each["sha"] == pull.head}
    parts += [
        f"<p>{_text(each['context'])}: <b>{each['state']}</b> {_text(each['description'] or '')}</p>"
        for each in latest.values()
    ]
    for run in repo.runs.values():
        if run["head_sha"] == pull.head:
            text = _text(run["output"].get("text") or run["output"].get("summary") or "")
            state = run["conclusion"] or run["status"]
            parts.append(f"<article>{_text(run['name'])}: <b>{state}</b><pre>{text}</pre></article>")
    said = [(each.at, each.id, each.user.login, each.state, each.body) for each in pull.reviews]
    said += [
        (each.at, each.id, each.user.login, " ".join(content for content, _ in each.reactions), each.body)
        for each in repo.comments.values()
        if each.pull == pull.number
    ]
    for at, _, login, mark, body in sorted(said):
        shown = _text(re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL).strip())
        parts.append(
            f"<article><small>{_text(login)}, {at} {_text(mark)}</small><pre>{shown}</pre></article>"
        )
    return f"<!doctype html><html lang=en><meta charset=utf-8>{''.join(parts)}</html>"


def _text(words: str) -> str:
    return html.escape(words)
