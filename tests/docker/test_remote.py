"""An engine over TCP with TLS, as one of another machine is reached: deployed to, and closed to strangers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from pathlib import Path

import docker
import pytest
from pydantic import ValidationError

from daybreak.build.images.engine import EngineDown, connected
from daybreak.settings import EngineSettings
from tests.docker.conftest import Yard
from tests.docker.test_driver import DRIVER, HELLO, Deployer, asked
from tests.fixtures.engine import engine_in


def certificates(folder: Path) -> Path:
    """An authority, and what it signed for a server on 127.0.0.1 and for a client."""
    folder.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "ca-key.pem", "-out", "ca.pem")  # fmt: skip
    for name, more in (
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(more)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem",
                "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    shutil.copy(folder / "client.pem", folder / "cert.pem")
    shutil.copy(folder / "client-key.pem", folder / "key.pem")
    return folder


def test_tcp_is_never_spoken_without_certificates() -> None:
    with pytest.raises(ValidationError, match=r"needs `certificates`: whoever reaches an engine without TLS"):
        EngineSettings(url="tcp://dev-01:2375")


@pytest.mark.deep
def test_an_engine_over_tls_runs_services_and_lets_nobody_else_in(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, at = f"tcp://127.0.0.1:{port}", certificates(tmp_path / "certificates")
    listening = ("--host", url, "--tlsverify", "--tlscacert", str(at / "ca.pem"),
                 "--tlscert", str(at / "server.pem"), "--tlskey", str(at / "server-key.pem"))  # fmt: skip
    with engine_in(*listening) as engine, contextlib.closing(engine.client()) as client:
        engine.have("python:3.13-slim")
        deployer = Deployer(Yard(engine, tmp_path / "home", client), engine={"url": url, "certificates": at})
        address = deployer.deploy(HELLO, "a1")
        assert asked(address)["CODE"] == "a1"
        assert deployer.observe() == "a1"
        DRIVER.destroy(HELLO, deployer.target())
        assert client.containers.list(all=True) == []

        stranger = certificates(tmp_path / "stranger")
        theirs = EngineSettings(url=url, certificates=stranger)
        with pytest.raises(EngineDown), connected(theirs) as refused:
            refused.ping()
        with pytest.raises(docker.errors.DockerException):
            docker.DockerClient(base_url=url, timeout=5).version()
