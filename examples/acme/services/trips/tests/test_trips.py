import httpx
from acme_trips.app import create_app


def answering(status, body):
    return httpx.Client(
        base_url="http://other", transport=httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    )


def test_a_trip_joins_vehicle_and_positions():
    app = create_app(answering(200, {"model": "roadster"}), answering(200, [[0, 0], [0, 1]]))
    assert app.test_client().get("/trips/V1").json == {
        "vin": "V1", "model": "roadster", "kilometres": 111.195, "price": "48.20"
    }  # fmt: skip


def test_an_unknown_vehicle_is_404():
    app = create_app(answering(404, {"error": "no vehicle"}), answering(200, []))
    assert app.test_client().get("/trips/V1").status_code == 404
