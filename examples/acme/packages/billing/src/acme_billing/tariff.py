"""Usage-based tariffs; money in Decimal, rounded half up to cents."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True)
class Tariff:
    """A fee for each trip, and a price for each kilometre."""

    base: Decimal
    per_km: Decimal

    def price(self, kilometres: float) -> Decimal:
        """The price of one trip."""
        if kilometres < 0:
            raise ValueError(f"a trip cannot be {kilometres} km long")
        exact = self.base + self.per_km * Decimal(str(kilometres))
        return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


STANDARD = Tariff(Decimal("1.50"), Decimal("0.42"))
