import pytest
from mileage import daily_mileage


def test_kilometres_are_summed_by_vehicle_and_day_whatever_the_order():
    positions = [
        ("V2", "2026-01-05T06:00:00+00:00", 0.0, 0.0),
        ("V1", "2026-01-05T08:00:00+00:00", 0.0, 2.0),
        ("V1", "2026-01-05T06:00:00+00:00", 0.0, 0.0),
        ("V1", "2026-01-05T07:00:00+00:00", 0.0, 3.0),
    ]
    found = daily_mileage(positions)
    assert found == {
        ("V1", "2026-01-05"): pytest.approx(4 * 111.195, abs=0.01),
        ("V2", "2026-01-05"): 0,
    }


def test_midnight_starts_a_new_track():
    positions = [("V", "2026-01-05T23:59:00+00:00", 0.0, 0.0), ("V", "2026-01-06T00:01:00+00:00", 0.0, 1.0)]
    assert daily_mileage(positions) == {("V", "2026-01-05"): 0, ("V", "2026-01-06"): 0}


def test_a_vehicle_seen_once_drove_a_float_of_nothing():
    # Spark's DoubleType refuses the integer 0.
    assert repr(daily_mileage([("V", "2026-01-05T06:00:00+00:00", 0.0, 0.0)])) == "{('V', '2026-01-05'): 0.0}"
