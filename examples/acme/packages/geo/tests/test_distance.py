import pytest
from acme_geo.distance import haversine, length


def test_tel_aviv_to_jerusalem():
    assert haversine((32.0853, 34.7818), (31.7683, 35.2137)) == pytest.approx(53.9, abs=0.5)


def test_a_track_is_the_sum_of_its_parts():
    a, b, c = (0.0, 0.0), (0.0, 1.0), (0.0, 3.0)
    assert length([a, b, c]) == pytest.approx(haversine(a, b) + haversine(b, c))
    assert length([a]) == 0


def test_a_single_point_is_a_float_of_no_length():
    assert repr(length([(0.0, 0.0)])) == "0.0"
