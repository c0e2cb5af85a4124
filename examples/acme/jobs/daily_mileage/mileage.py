"""Kilometres of each vehicle on each day; nothing here knows Spark."""

from collections import defaultdict
from collections.abc import Iterable

from acme_geo.distance import Point, length

#: VIN, time in ISO 8601 (UTC), latitude, longitude.
Position = tuple[str, str, float, float]


def daily_mileage(positions: Iterable[Position]) -> dict[tuple[str, str], float]:
    """Kilometres by (VIN, day); positions in any order. A leg over midnight counts for neither day."""
    tracks: dict[tuple[str, str], list[tuple[str, Point]]] = defaultdict(list)
    for vin, at, latitude, longitude in positions:
        tracks[vin, at[:10]].append((at, (latitude, longitude)))
    return {
        day: round(length(point for _, point in sorted(track)), 3) for day, track in sorted(tracks.items())
    }
