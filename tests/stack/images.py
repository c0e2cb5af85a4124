"""An engine with images under the very names that the Dockerfile and the compose file ask for.

They are made of Debian's packages, as no registry need be reachable (``tests/fixtures/engine.py``). What
the official images add to their packages, and the stack uses, is added here.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from tests.fixtures import engine as engines
from tests.fixtures.engine import Base, Engine, engine_in

#: A first start makes the cluster and runs what is in initdb.d; the official entrypoint does so too.
POSTGRES = """#!/bin/sh
set -eu
export PGDATA=/var/lib/postgresql/data POSTGRES_USER="${POSTGRES_USER:-postgres}"
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -g postgres -m 0700 "$PGDATA"
  install -d -o postgres -g postgres /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-c listen_addresses=''" start
  for file in /docker-entrypoint-initdb.d/*.sh; do "$file"; done
  pg_ctl -w stop
fi
exec "$@" -c "listen_addresses=*"
"""

#: Whether the machine passes on what is not for itself: dockerd of the tests leaves it as it is.
FORWARDS = Path("/proc/sys/net/ipv4/ip_forward")

#: Its IPv4 routes, one a line after a head (proc(5), `/proc/net/route`).
ROUTES = Path("/proc/net/route")

#: One for both: making it takes longer than anything else here.
_SERVERS = Base("trixie", ("postgresql-17", "redis-server", "gosu", "ca-certificates"))

#: By repository: the base, a Dockerfile on it, and files of its context.
MADE: Mapping[str, tuple[Base, str, Mapping[str, str]]] = {
    "postgres": (
        _SERVERS,
        "ENV PATH=/usr/lib/postgresql/17/bin:$PATH\nCOPY entrypoint /\nSTOPSIGNAL SIGINT\n"
        'ENTRYPOINT ["/entrypoint"]\nCMD ["postgres"]\n',
        {"entrypoint": POSTGRES},
    ),
    "redis": (
        _SERVERS,
        "RUN install -d -o redis -g redis /data\nWORKDIR /data\n",
        {},
    ),
    "python": (
        engines.BASES["python:3.11-slim"],
        # pip and uv bring authorities of their own; those of the machine go before them.
        "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n",
        {},
    ),
}


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An engine with room for the stack; skips where none can be had."""
    with engine_in(size="12G") as made:
        yield made


@contextlib.contextmanager
def let_out(subnet: str) -> Iterator[None]:
    """Let containers of ``subnet`` reach each other, and the outside, where their builds get packages.

    :raises RuntimeError: when the machine has a way to ``subnet`` already.
    """
    if device := routed(subnet):
        raise RuntimeError(
            f"{subnet} is behind {device} already: a stack runs, or a run of these tests was killed. End its "
            f"dockerd (`--data-root` is in a folder daybreak-engine-…), then `ip link delete {device}`"
        )
    rules = (
        ("nat", "POSTROUTING", "--source", subnet, "!", "--destination", subnet, "--jump", "MASQUERADE"),
        ("filter", "FORWARD", "--source", subnet, "--jump", "ACCEPT"),
        ("filter", "FORWARD", "--destination", subnet, "--jump", "ACCEPT"),
    )
    with contextlib.ExitStack() as undo:
        undo.callback(_forward, FORWARDS.read_text().strip())
        _forward("1")
        for table, chain, *rest in rules:
            _iptables(table, "--insert", chain, *rest)
            undo.callback(_iptables, table, "--delete", chain, *rest)
        yield


def routed(subnet: str) -> str:
    """The device behind which a part of ``subnet`` is; empty where that is only the default route's."""
    wanted = ipaddress.ip_network(subnet)
    for line in ROUTES.read_text().splitlines()[1:]:
        device, to, mask = (line.split()[at] for at in (0, 1, 7))
        # As the processor keeps them: the last byte first on most, whatever a network's order is.
        address, bits = (int(each, 16).to_bytes(4, sys.byteorder) for each in (to, mask))
        found = ipaddress.ip_network((address, int.from_bytes(bits).bit_count()))
        if found.prefixlen and found.overlaps(wanted):
            return device
    return ""


def _iptables(table: str, *words: str) -> None:
    command = [engines._program("iptables"), "--wait", "--table", table, *words]
    subprocess.run([*engines._root(), *command], check=True, capture_output=True)


def _forward(value: str) -> None:
    command = [*engines._root(), "tee", str(FORWARDS)]
    subprocess.run(command, input=value, text=True, check=True, capture_output=True)


def wanted(folder: Path) -> list[str]:
    """The images that the compose file and the Dockerfile in ``folder`` start from."""
    services = yaml.safe_load((folder / "docker-compose.yaml").read_text())["services"]
    named = {its["image"] for its in services.values() if "$" not in its["image"]}
    named |= set(re.findall(r"^ARG PYTHON_IMAGE=(\S+)", (folder / "Dockerfile").read_text(), re.MULTILINE))
    return sorted(named)


def have(engine: Engine, folder: Path) -> None:
    """Make them."""
    with contextlib.closing(engine.client(600)) as client:
        for name in wanted(folder):
            repository = name.partition(":")[0]
            base, dockerfile, files = MADE[repository]
            engines.BASES[f"stack-{repository}:base"] = base
            engine.have(f"stack-{repository}:base")
            context = io.BytesIO()
            with tarfile.open(fileobj=context, mode="w") as tar:
                for file, text in {
                    **files,
                    "Dockerfile": f"FROM stack-{repository}:base\n{dockerfile}",
                }.items():
                    entry = tarfile.TarInfo(file)
                    entry.size, entry.mode = len(text.encode()), 0o755
                    tar.addfile(entry, io.BytesIO(text.encode()))
            context.seek(0)
            client.images.build(fileobj=context, custom_context=True, tag=name, network_mode="host")
