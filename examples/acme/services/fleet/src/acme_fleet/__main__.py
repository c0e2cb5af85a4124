"""``python -m acme_fleet``: serve on 127.0.0.1:$PORT."""

import os

from waitress import serve

from acme_fleet.app import create_app

serve(create_app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]), threads=4)
