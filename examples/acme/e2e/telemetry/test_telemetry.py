import os


def test_the_service_is_this_commit_of_this_environment(service, environment):
    said = service("telemetry").get("/healthz").json()
    assert said == {"environment": environment, "commit": os.environ["DAYBREAK_COMMIT"]}


def test_the_seeded_positions_are_there(service, vin):
    assert len(service("telemetry").get(f"/positions/{vin}").json()) == 2


def test_a_vehicle_that_never_reported_has_no_positions(service):
    assert service("telemetry").get("/positions/NOBODY").json() == []
