import json
from math import floor

import pytest


@pytest.fixture
def read(aws, environment):
    def content(path):
        return aws("s3").get_object(Bucket=f"acme-{environment}-geofences", Key=path)["Body"].read()

    return content


def test_the_rules_are_of_this_environment_and_say_their_commit(read, environment):
    current = json.loads(read("current.json"))
    assert current["environment"] == environment
    assert len(current["commit"]) == 40


def test_a_seeded_position_is_in_its_zone(read, service, vin):
    rules = json.loads(read(json.loads(read("current.json"))["path"]))
    scale = rules["cells_per_degree"]
    track = service("telemetry").get(f"/positions/{vin}").json()
    cells = [f"{floor(latitude * scale)},{floor(longitude * scale)}" for latitude, longitude in track]
    assert [rules["cells"].get(cell) for cell in cells] == [["tel-aviv"], ["jerusalem"]]
