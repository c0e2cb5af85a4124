"""Distances on the sphere."""

from collections.abc import Iterable
from itertools import pairwise
from math import asin, cos, radians, sin, sqrt

#: Mean radius of the earth (IUGG), in kilometres.
EARTH_RADIUS_KM = 6371.0088

Point = tuple[float, float]


def haversine(one: Point, other: Point) -> float:
    """Kilometres between two (latitude, longitude) points."""
    lat1, lon1, lat2, lon2 = map(radians, (*one, *other))
    root = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(root))


def length(track: Iterable[Point]) -> float:
    """Kilometres along a track; a float also for a single point, as Spark insists."""
    return sum((haversine(one, other) for one, other in pairwise(track)), 0.0)
