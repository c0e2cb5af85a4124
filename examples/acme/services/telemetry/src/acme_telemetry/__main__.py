"""``python -m acme_telemetry``: serve on 127.0.0.1:$PORT."""

import os

from waitress import serve

from acme_telemetry.app import create_app

serve(create_app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]), threads=4)
