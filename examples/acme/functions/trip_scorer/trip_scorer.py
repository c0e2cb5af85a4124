"""Scores a trip: how evenly it was driven."""

from itertools import pairwise
from statistics import mean, pstdev

from acme_geo.distance import haversine


def score(track):
    """100 for even steps, less the more they differ; None for fewer than three positions."""
    steps = [haversine(tuple(one), tuple(two)) for one, two in pairwise(track)]
    if len(steps) < 2 or not mean(steps):
        return None
    return round(100 / (1 + pstdev(steps) / mean(steps)), 1)


def handler(event, context):
    """Lambda's entry: ``{"track": [[lat, lon], …]}`` → ``{"score": …}``."""
    return {"score": score(event["track"])}
