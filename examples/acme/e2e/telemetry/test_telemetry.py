def test_the_service_is_of_this_environment(service, environment):
    said = service("telemetry").get("/healthz").json()
    # Of the commit that brought it: what did not change since is not deployed again.
    assert said["environment"] == environment
    assert len(said["commit"]) == 40


def test_the_seeded_positions_are_there(service, vin):
    assert len(service("telemetry").get(f"/positions/{vin}").json()) == 2


def test_a_vehicle_that_never_reported_has_no_positions(service):
    assert service("telemetry").get("/positions/NOBODY").json() == []
