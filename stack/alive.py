"""Health of an Airflow component that answers no HTTP: did its job in this container have a heartbeat lately?

``alive.py DagProcessorJob``: ends with 0 when it had. `airflow jobs check` asks the same, but costs seconds
of processor time each, and calls a component dead that was busy for eleven seconds.
"""

from __future__ import annotations

import os
import socket
import sys

#: Heartbeats come every 5 s.
SECONDS = 60
JOBS = (
    "SELECT count(*) FROM job WHERE job_type = :type AND state = 'running'"
    " AND (hostname = :host OR hostname LIKE :host || '.%')"
    " AND latest_heartbeat > now() - :seconds * interval '1 second'"
)


def main(job_type: str) -> int:
    """1, with a line that says so, when there is no such job."""
    from sqlalchemy import create_engine, text

    engine = create_engine(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        asked = {"type": job_type, "host": socket.gethostname(), "seconds": SECONDS}
        if connection.execute(text(JOBS), asked).scalar():
            return 0
    print(f"no {job_type} of {socket.gethostname()} had a heartbeat in the last {SECONDS} s")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
