"""Slack in the foreground: ``python -m examples.standins.slack --port 8091 --request-url URL``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from examples.standins.local import add_place, place
from examples.standins.slack.delivery import RETRY_SECONDS
from examples.standins.slack.server import serve, workspace


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.standins.slack", description=__doc__)
    add_place(parser)
    parser.add_argument("--request-url", help="where the app listens; without it, Socket Mode")
    parser.add_argument("--seed", type=int, default=1, help="all ids and secrets follow from it")
    parser.add_argument("--ready", type=Path, help="write url and secrets into this file, as JSON")
    words = parser.parse_args()
    listener, url, others = place(words)
    space = workspace(seed=words.seed)
    said = {
        "url": url,
        "token": space.app.token,
        "app_token": space.app.app_token,
        "signing_secret": space.app.signing_secret,
    }
    server = serve(space, url, words.request_url, RETRY_SECONDS, *others)
    if words.ready:
        new = words.ready.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(said))
        os.replace(new, words.ready)
    else:
        print("\n".join(f"{name}: {value}" for name, value in said.items()), flush=True)
    server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
