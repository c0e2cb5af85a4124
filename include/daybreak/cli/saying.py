"""What commands have in common: the words, who says them, the answer."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.talk.reply import Reply


def said_words(said: Sequence[str], *, as_json: bool) -> tuple[list[str], bool]:
    """`--json` is the command line's own, wherever it stands before the reason."""
    end = said.index("--") if "--" in said else len(said)
    head = [word for word in said[:end] if word != "--json"]
    return [*head, *said[end:]], as_json or len(head) < end


def login() -> str:
    """Whoever calls, by the account of this process; no variable of the caller's can say another one."""
    return login_of(os.getuid(), os.environ)


def login_of(uid: int, environ: Mapping[str, str]) -> str:
    """The login of an account; ``uid:4711``, which no login can be, where it has no name (in a container).

    Of root it is who called sudo: root could be anybody anyway. Of others it is not, as whoever runs
    code as a shared account could say the same.
    """
    caller = environ.get("SUDO_UID", "")
    if uid == 0 and caller.isdecimal():
        uid = int(caller)
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid:{uid}"


def shown(text: str) -> str:
    """Text for a terminal: other people's words in it move no cursor and change no colour."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def print_reply(reply: Reply, *, as_json: bool) -> int:
    """Print an answer; what went wrong goes to standard error. Returns the answer's exit code."""
    if as_json:
        print(json.dumps(reply.to_json()))
    else:
        print(shown(reply.text), file=sys.stdout if reply.exit_code == 0 else sys.stderr)
    return reply.exit_code
