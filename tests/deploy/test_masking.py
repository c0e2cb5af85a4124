"""Secrets of the contract never reach a person's eyes."""

from __future__ import annotations

import pytest

from daybreak.deploy.masking import masked

VARIABLES = {
    "DATABASE_URL": "postgresql://fleet:p%40ss-word@db:5432/fleet",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7",
    "AWS_ACCESS_KEY_ID": "AKIA1",
    "TRIPS_URL": "http://127.0.0.1:20001",
    "EMPTY_SECRET": "",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "connect postgresql://fleet:p%40ss-word@db:5432/fleet",
            "connect postgresql://fleet:***@db:5432/fleet",
        ),
        ("password authentication failed with p@ss-word", "password authentication failed with ***"),
        ("key wJalrXUtnFEMI/K7 is wrong", "key *** is wrong"),
        ("https://somebody:else@host/x", "https://somebody:***@host/x"),
        ("AKIA1 asks http://127.0.0.1:20001/healthz", "AKIA1 asks http://127.0.0.1:20001/healthz"),
    ],
)
def test_secrets_are_masked_and_the_rest_stays(text: str, expected: str) -> None:
    assert masked(text, VARIABLES) == expected
