"""From positions to a priced trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from acme_billing.tariff import STANDARD, Tariff
from acme_geo.distance import Point, length


@dataclass(frozen=True)
class Trip:
    """What one vehicle drove."""

    vin: str
    kilometres: float
    price: Decimal


def trip(vin: str, track: Sequence[Point], tariff: Tariff = STANDARD) -> Trip:
    """The trip of a track; raises ValueError for fewer than two positions."""
    if len(track) < 2:
        raise ValueError(f"{vin}: a trip needs two positions, there are {len(track)}")
    kilometres = round(length(track), 3)
    return Trip(vin, kilometres, tariff.price(kilometres))
