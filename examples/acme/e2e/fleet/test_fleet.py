def test_the_service_is_of_this_environment(service, environment):
    said = service("fleet").get("/healthz").json()
    # Of the commit that brought it: what did not change since is not deployed again.
    assert said["environment"] == environment
    assert len(said["commit"]) == 40


def test_the_seeded_vehicles_are_there_and_nothing_else(service, vin):
    found = {each["vin"] for each in service("fleet").get("/vehicles").json()}
    assert found == {vin, "1HGCM82633A004352", "5YJSA1E26HF000337"}
