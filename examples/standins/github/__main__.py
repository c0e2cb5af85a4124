"""GitHub in the foreground: ``python -m examples.standins.github --folder DIR --webhook URL``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from examples.standins.github.delivery import Webhooks
from examples.standins.github.server import APP, BOT, SECRET, hosting, serve
from examples.standins.local import add_place, place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.standins.github", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for the bare repositories; must be empty")
    add_place(parser)
    parser.add_argument("--webhook", help="where deliveries go; without it, nowhere")
    parser.add_argument("--seed", type=int, default=1, help="all tokens follow from it")
    parser.add_argument("--ready", type=Path, help="write url and secrets into this file, as JSON")
    words = parser.parse_args()
    words.folder.mkdir(parents=True, exist_ok=True)
    if any(words.folder.iterdir()):
        parser.error(f"{words.folder} is not empty; the stand-in remembers nothing but its repositories")
    listener, url, others = place(words)
    made = hosting(words.folder, url, words.seed)
    webhooks = Webhooks(made.url, made.ids, words.webhook, SECRET)
    server = serve(made, webhooks, *others)
    said = {
        "url": made.url,
        "api": f"{made.url}/api/v3",
        "webhook_secret": SECRET,
        "bot": BOT,
        "token": made.user(BOT).token,
        "app": {"login": APP, "id": made.app_id, "installation": made.user(APP).id, "key": made.app_pem()},
    }
    if words.ready:
        new = words.ready.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(said))
        os.replace(new, words.ready)
    else:
        print(json.dumps(said, indent=2), flush=True)
    server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
