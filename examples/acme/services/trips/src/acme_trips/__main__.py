"""``python -m acme_trips``: serve on 127.0.0.1:$PORT."""

import os

from waitress import serve

from acme_trips.app import create_app

serve(create_app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]), threads=4)
