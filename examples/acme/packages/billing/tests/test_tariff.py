from decimal import Decimal

import pytest
from acme_billing.tariff import STANDARD


def test_a_trip_costs_the_base_and_its_kilometres():
    assert STANDARD.price(10) == Decimal("5.70")


def test_half_a_cent_is_rounded_up():
    assert STANDARD.price(0.0125) == Decimal("1.51")


def test_negative_trips_are_refused():
    with pytest.raises(ValueError, match="cannot be"):
        STANDARD.price(-1)
