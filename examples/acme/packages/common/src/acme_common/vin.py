"""Vehicle identification numbers (ISO 3779; the check digit of 49 CFR 565.15)."""

_VALUES = {**{str(d): d for d in range(10)}, **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
           **dict(zip("JKLMN", range(1, 6), strict=True)), "P": 7, "R": 9,
           **dict(zip("STUVWXYZ", range(2, 10), strict=True))}  # fmt: skip
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def check_digit(vin: str) -> str:
    """The ninth character that ``vin`` must have; raises ValueError for what is no VIN."""
    if len(vin) != 17 or any(each not in _VALUES for each in vin):
        raise ValueError(f"{vin!r} is not a VIN")
    rest = sum(_VALUES[each] * weight for each, weight in zip(vin, _WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def is_valid(vin: str) -> bool:
    """Whether ``vin`` is a VIN with the right check digit."""
    try:
        return check_digit(vin) == vin[8]
    except ValueError:
        return False
