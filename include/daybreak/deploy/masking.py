"""Keep secrets of the contract's variables out of what people read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import unquote, urlsplit

_IN_URL = re.compile(r"(://[^\s:/@]*:)[^\s/@]+@")
_SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN", re.IGNORECASE)
#: Shorter ones would mask half of every text and protect nothing.
_SHORTEST = 4


def masked(text: str, variables: Mapping[str, str]) -> str:
    """``text`` without the secrets of ``variables``, and without any password inside a URL."""
    # A report of XML has them escaped, and those of a page in it escaped twice.
    plain = _secrets(variables)
    once = {escape(each, quote=quote) for each in plain for quote in (False, True)}
    written = plain | once | {escape(each, quote=False) for each in once}
    for secret in sorted(written, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _IN_URL.sub(r"\1***@", text)


def _secrets(variables: Mapping[str, str]) -> set[str]:
    found = set()
    for name, value in variables.items():
        if _SECRET_NAME.search(name):
            found.add(value)
        elif "://" in value:
            try:
                password = urlsplit(value).password
            except ValueError:
                password = None
            found |= {password, unquote(password)} if password else set()
    return {secret for secret in found if len(secret) >= _SHORTEST}
