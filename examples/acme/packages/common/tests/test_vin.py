import pytest
from acme_common.vin import check_digit, is_valid


def test_the_check_digit_of_a_known_vin():
    assert check_digit("1M8GDM9AXKP042788") == "X"
    assert is_valid("1M8GDM9AXKP042788")


def test_a_changed_character_makes_it_invalid():
    assert not is_valid("1M8GDM9AXKP042789")


def test_what_is_no_vin_is_refused():
    with pytest.raises(ValueError, match="not a VIN"):
        check_digit("IOQ")
