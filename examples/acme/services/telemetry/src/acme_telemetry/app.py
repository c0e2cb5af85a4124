"""Where vehicles were, from DynamoDB."""

import boto3
from acme_common.environ import environment, health
from boto3.dynamodb.conditions import Key
from flask import Flask, jsonify


def create_app(table=None) -> Flask:
    """The service; its table is ``<environment>-positions``."""
    app = Flask(__name__)
    positions = table or boto3.resource("dynamodb").Table(f"{environment()}-positions")

    @app.get("/healthz")
    def healthz():
        positions.load()
        return jsonify(health())

    @app.get("/positions/<vin>")
    def of_vehicle(vin: str):
        found = positions.query(KeyConditionExpression=Key("vin").eq(vin))["Items"]
        return jsonify([[float(item["lat"]), float(item["lon"])] for item in found])

    return app
