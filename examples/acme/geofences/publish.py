"""``python publish.py create|deploy|observe|destroy``: the rules, in the environment's bucket.

Readers follow ``current.json``. It is written last, so they see the old rules or the new ones.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "vendor"))

import obstore  # noqa: E402 - it is in vendor/
from obstore.exceptions import AlreadyExistsError  # noqa: E402
from obstore.store import ObjectStore, S3Store  # noqa: E402

CURRENT = "current.json"


def bucket(environ=os.environ) -> S3Store:
    """The bucket of the environment; obstore reads the AWS variables of the contract by itself."""
    # Plain HTTP is an emulator, named on purpose.
    plain = environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    name = f"acme-{environ['DAYBREAK_ENVIRONMENT']}-geofences"
    return S3Store(name, client_options={"allow_http": True} if plain else None)


def create(store: ObjectStore) -> None:
    """No rules yet: who reads before the first deploy finds that out, not an error."""
    try:
        obstore.put(store, CURRENT, b'{"key": null}', mode="create")
    except AlreadyExistsError:
        pass


def deploy(store: ObjectStore, rules: bytes, key: str, environment: str, commit: str) -> None:
    """Publish ``rules`` under their content key, then point to them."""
    path = f"rules/{key}.json"
    obstore.put(store, path, rules)
    current = {
        "key": key, "path": path, "sha256": hashlib.sha256(rules).hexdigest(),
        "environment": environment, "commit": commit,
    }  # fmt: skip
    obstore.put(store, CURRENT, json.dumps(current).encode())


def observe(store: ObjectStore) -> str | None:
    """The key of the rules that readers get; ``None`` when they are not there, or not what was published."""
    try:
        current = json.loads(_read(store, CURRENT))
        if current["key"] is None:
            return None
        rules = _read(store, current["path"])
    except FileNotFoundError:
        return None
    return current["key"] if hashlib.sha256(rules).hexdigest() == current["sha256"] else None


def destroy(store: ObjectStore) -> None:
    """Take everything away, first the pointer. The bucket is the stack's."""
    found = sorted(item["path"] for page in obstore.list(store) for item in page)
    for path in sorted(found, key=lambda path: path != CURRENT):
        obstore.delete(store, path)


def _read(store: ObjectStore, path: str) -> bytes:
    return bytes(obstore.get(store, path).bytes())


def main(verb: str) -> None:
    """One verb; what ``observe`` finds is printed."""
    store = bucket()
    if verb == "create":
        create(store)
    elif verb == "deploy":
        names = ("DAYBREAK_KEY", "DAYBREAK_ENVIRONMENT", "DAYBREAK_COMMIT")
        deploy(store, (HERE / "rules.json").read_bytes(), *(os.environ[name] for name in names))
    elif verb == "observe":
        print(observe(store) or "")
    elif verb == "destroy":
        destroy(store)
    else:
        raise SystemExit(f"publish.py: {verb} is none of create, deploy, observe, destroy")


if __name__ == "__main__":
    main(*sys.argv[1:])
