def test_a_trip_joins_fleet_and_telemetry(service, vin):
    answer = service("trips").get(f"/trips/{vin}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["kilometres"] > 50
    assert answer.json()["model"] == "roadster"
