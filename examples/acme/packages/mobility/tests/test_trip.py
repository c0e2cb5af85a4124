from decimal import Decimal

import pytest
from acme_mobility.trip import trip


def test_a_trip_has_length_and_price():
    driven = trip("V", [(0.0, 0.0), (0.0, 1.0)])
    assert driven.kilometres == pytest.approx(111.195, abs=0.01)
    assert driven.price == Decimal("48.20")


def test_one_position_is_no_trip():
    with pytest.raises(ValueError, match="two positions"):
        trip("V", [(0.0, 0.0)])
