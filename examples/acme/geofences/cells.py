"""Zones as a grid: which zones a position is in becomes one look-up; nothing here knows AWS."""

from itertools import pairwise, product
from math import floor

#: Latitude and longitude in degrees.
Point = tuple[float, float]


def compile_zones(declared: dict) -> dict:
    """``zones.json`` as ``{"cells_per_degree": n, "cells": {"3208,3478": ["tel-aviv"]}}``.

    A cell belongs to a zone when its middle does. Raises ValueError naming the zone that is wrong.
    """
    scale = declared["cells_per_degree"]
    cells: dict[str, list[str]] = {}
    for zone in declared["zones"]:
        name, ring = zone["name"], [tuple(point) for point in zone["ring"]]
        if len(set(ring)) < 3:
            raise ValueError(f"zone {name!r} needs three corners, it has {len(set(ring))}")
        before = sum(map(len, cells.values()))
        for row, column in product(*(_span([corner[axis] for corner in ring], scale) for axis in (0, 1))):
            if _inside(((row + 0.5) / scale, (column + 0.5) / scale), ring):
                cells.setdefault(f"{row},{column}", []).append(name)
        if sum(map(len, cells.values())) == before:
            raise ValueError(f"zone {name!r} is smaller than a cell of 1/{scale} degree")
    return {"cells_per_degree": scale, "cells": dict(sorted(cells.items()))}


def zones_at(rules: dict, point: Point) -> list[str]:
    """The zones that ``point`` is in."""
    scale = rules["cells_per_degree"]
    return rules["cells"].get(f"{floor(point[0] * scale)},{floor(point[1] * scale)}", [])


def _span(values: list[float], scale: int) -> range:
    return range(floor(min(values) * scale), floor(max(values) * scale) + 1)


def _inside(point: Point, ring: list[Point]) -> bool:
    """Whether a ray to the east leaves the ring an odd number of times."""
    latitude, longitude = point
    crossings = 0
    for (south, west), (north, east) in pairwise([*ring, ring[0]]):
        if (south > latitude) != (north > latitude):
            at = west + (latitude - south) / (north - south) * (east - west)
            crossings += longitude < at
    return crossings % 2 == 1
