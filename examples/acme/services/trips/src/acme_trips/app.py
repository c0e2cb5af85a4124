"""Priced trips: asks fleet for the vehicle and telemetry for its positions."""

import os

import httpx
from acme_common.environ import health
from acme_mobility.trip import trip
from flask import Flask, jsonify


def create_app(fleet: httpx.Client | None = None, telemetry: httpx.Client | None = None) -> Flask:
    """The service; ``FLEET_URL`` and ``TELEMETRY_URL`` say whom to ask."""
    app = Flask(__name__)
    vehicles = fleet or httpx.Client(base_url=os.environ["FLEET_URL"], timeout=10)
    positions = telemetry or httpx.Client(base_url=os.environ["TELEMETRY_URL"], timeout=10)

    @app.get("/healthz")
    def healthz():
        for other in (vehicles, positions):
            other.get("/healthz").raise_for_status()
        return jsonify(health())

    @app.get("/trips/<vin>")
    def of_vehicle(vin: str):
        vehicle = vehicles.get(f"/vehicles/{vin}")
        if vehicle.status_code == 404:
            return jsonify(vehicle.json()), 404
        track = [tuple(point) for point in positions.get(f"/positions/{vin}").raise_for_status().json()]
        try:
            driven = trip(vin, track)
        except ValueError as error:
            return jsonify(error=str(error)), 404
        return jsonify(
            vin=vin, model=vehicle.json()["model"], kilometres=driven.kilometres, price=str(driven.price)
        )

    return app
