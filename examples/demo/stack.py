"""The world of the stack's profile `demo`, once its stand-ins run: acme on GitHub, the store's bucket, four
environments from yesterday's main, used and dirty.

``docker compose`` runs it; doing it again changes nothing. When it is done it stays, beside a file.
"""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

from daybreak.environment.installation import Installation
from daybreak.settings import Settings, load
from examples.acme_history import create_repository
from examples.demo import yesterday
from examples.demo.github import REPOSITORY, ROLES, git
from examples.standins.github.server import GithubClient

#: There once the world is.
READY = Path("/var/lib/world/ready")


def main() -> int:
    """Make what is missing, and stay until somebody ends it."""
    settings = load()
    make_bucket(settings)
    assert settings.github is not None
    client = GithubClient(settings.github.base_url.removesuffix("/api/v3"))
    with tempfile.TemporaryDirectory(prefix="acme-") as folder:
        clone = Path(folder) / "acme"
        before, after = create_repository(clone)
        if REPOSITORY not in client.state()["repos"]:
            client.repo(REPOSITORY, **ROLES)
            git(clone, "push", "--quiet", client.git("noa", REPOSITORY), "main")
    print(f"acme is at {client.url}/{REPOSITORY}: yesterday {before[:12]}, today {after[:12]}", flush=True)
    installation = Installation.open(settings)
    installation.register()
    for account in settings.aws.accounts:
        installation.switches.arm(account, "the demo")
    if all(each.commit is None for each in installation.environments.all()):
        yesterday.build(installation, before)
        yesterday.dirty(installation)
    for environment in installation.environments.all():
        print(f"{environment.name} {environment.state} {(environment.commit or '-')[:12]}", flush=True)
    READY.touch()
    signal.pause()
    return 0


def make_bucket(settings: Settings) -> None:
    """The store's bucket."""
    import boto3

    bucket = settings.store.removeprefix("s3://").partition("/")[0]
    boto3.client("s3", endpoint_url=settings.aws.endpoint_url).create_bucket(Bucket=bucket)


if __name__ == "__main__":
    raise SystemExit(main())
