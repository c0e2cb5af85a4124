"""What other people's code is told of proxies."""

from __future__ import annotations

import pytest

from daybreak.build.process import visible


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("http://acme:s3cret@proxy.example:3128", "http://proxy.example:3128"),
        ("http://acme:s3/cr@t@proxy.example:3128/", "http://proxy.example:3128/"),
        ("s3cret@proxy.example:3128", "proxy.example:3128"),
        ("socks5h://acme:s3cret@[::1]:1080", "socks5h://[::1]:1080"),
        ("http://proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_a_build_sees_where_a_proxy_is_and_not_who_may_use_it(works, monkeypatch, told, seen):
    for name in ("https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, told)
    monkeypatch.setenv("NO_PROXY", "localhost,.acme.example")
    # Who says so in the settings has decided that all code of pull requests may know it.
    works.settings = works.settings.model_copy(update={"pass_environment": ("ALL_PROXY",)})
    works.declare(
        'X = Resource(name="x", type=rt.COMMAND, dependent_paths=["x"], '
        'options={"build": ["sh", "build.sh"]})\n',
        {"x/build.sh": "env > seen"},
    )
    works.build("x")
    lines = dict(line.split("=", 1) for line in (works.fetch("x") / "x/seen").read_text().splitlines())
    for found in (lines, visible(("ALL_PROXY",))):
        assert (found["https_proxy"], found["HTTP_PROXY"], found["ALL_PROXY"]) == (seen, seen, told)
        assert found["NO_PROXY"] == "localhost,.acme.example"
