"""What Daybreak tells a resource (the resource contract)."""

import os


def environment() -> str:
    """The environment that this process runs in, for example ``dev-01``."""
    return os.environ.get("DAYBREAK_ENVIRONMENT", "local")


def health() -> dict[str, str]:
    """What every health check answers."""
    return {"environment": environment(), "commit": os.environ.get("DAYBREAK_COMMIT", "")}
