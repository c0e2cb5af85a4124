"""The vehicles of the fleet, from SQL."""

import os

from acme_common.environ import health
from flask import Flask, jsonify
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url


def engine_of(url: str) -> Engine:
    """The contract gives a plain URL; the driver is ours to choose."""
    parsed = make_url(url)
    driver = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}.get(parsed.drivername)
    return create_engine(parsed.set(drivername=driver or parsed.drivername), pool_pre_ping=True)


def create_app(engine: Engine | None = None) -> Flask:
    """The service; ``DATABASE_URL`` says where its database is."""
    app = Flask(__name__)
    database = engine or engine_of(os.environ["DATABASE_URL"])

    @app.get("/healthz")
    def healthz():
        with database.connect() as connection:
            connection.execute(text("SELECT 1"))
        return jsonify(health())

    @app.get("/vehicles")
    def vehicles():
        with database.connect() as connection:
            rows = connection.execute(text("SELECT vin, model, odometer_km FROM vehicles ORDER BY vin"))
            return jsonify([dict(row) for row in rows.mappings()])

    @app.get("/vehicles/<vin>")
    def vehicle(vin: str):
        with database.connect() as connection:
            query = text("SELECT vin, model, odometer_km FROM vehicles WHERE vin = :vin")
            row = connection.execute(query, {"vin": vin}).mappings().first()
        return (jsonify(dict(row)), 200) if row else (jsonify(error=f"no vehicle {vin}"), 404)

    return app
