import json
from pathlib import Path

import pytest
from cells import compile_zones, zones_at

SQUARE = {"name": "square", "ring": [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]}
CORNER = {"name": "corner", "ring": [[0.0, 0.0], [0.0, 0.5], [0.5, 0.0]]}


def compiled(*zones):
    return compile_zones({"cells_per_degree": 10, "zones": list(zones)})


def test_a_position_is_in_every_zone_that_covers_it():
    rules = compiled(SQUARE, CORNER)
    assert zones_at(rules, (0.11, 0.11)) == ["square", "corner"]
    assert zones_at(rules, (0.41, 0.41)) == ["square"]
    assert zones_at(rules, (1.11, 0.5)) == []
    assert zones_at(rules, (-0.01, 0.5)) == []


def test_a_zone_covers_as_many_cells_as_its_area():
    assert len(compiled(SQUARE)["cells"]) == 100


def test_a_dent_is_outside():
    dented = {"name": "u", "ring": [[0, 0], [0, 3], [3, 3], [3, 2], [1, 2], [1, 1], [3, 1], [3, 0]]}
    rules = compiled(dented)
    assert zones_at(rules, (2.05, 1.55)) == []
    assert zones_at(rules, (2.05, 0.55)) == ["u"]


@pytest.mark.parametrize("ring", [[[0, 0], [1, 1], [0, 0]], [[0, 0], [0, 0.01], [0.01, 0]]])
def test_a_zone_without_room_is_refused_by_name(ring):
    with pytest.raises(ValueError, match="'nothing'"):
        compiled({"name": "nothing", "ring": ring})


def test_the_cities_are_where_they_are():
    rules = compile_zones(json.loads((Path(__file__).parents[1] / "zones.json").read_text()))
    assert zones_at(rules, (32.0853, 34.7818)) == ["tel-aviv"]
    assert zones_at(rules, (31.7683, 35.2137)) == ["jerusalem"]
    assert zones_at(rules, (32.7940, 34.9896)) == []
