"""Certificates for tests, and TLS in front of a server that has none."""

from __future__ import annotations

import datetime
import os
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import gevent.os
from gevent import socket
from gevent import ssl as gevent_ssl
from gevent.server import StreamServer

from .process import HOST, Child, ComponentNotFound, Process, close_descriptor, module_environment

NAMES = ("localhost", "127.0.0.1", "::1")


class Pair(NamedTuple):
    """The paths of a certificate and of its key."""

    cert: str
    key: str


class Certificates(NamedTuple):
    """Paths of PEM files: a CA, and pairs of which only the first two should be trusted.

    `server` is for localhost, 127.0.0.1 and ::1, `client` for a client; `expired` is the server's of
    yesterday, `misnamed` is for another host, and `stranger` is signed by another CA, `stranger_ca`.
    """

    ca: str
    server: Pair
    client: Pair
    expired: Pair
    misnamed: Pair
    stranger: Pair
    stranger_ca: str


def make_certificates(folder: str | Path) -> Certificates:
    """Writes a new CA and its certificates into the folder; raises `ComponentNotFound` without trustme."""
    try:
        import trustme
    except ImportError as error:
        raise ComponentNotFound("no trustme to make certificates: pip install trustme") from error
    ca, stranger = trustme.CA(), trustme.CA()
    now = datetime.datetime.now(datetime.timezone.utc)
    past: dict[str, Any] = {
        "not_before": now - datetime.timedelta(2),
        "not_after": now - datetime.timedelta(1),
    }
    folder = Path(folder)
    paths = (folder / "ca.pem", folder / "stranger-ca.pem")
    for authority, path in zip((ca, stranger), paths, strict=True):
        authority.cert_pem.write_to_path(path)
    return Certificates(
        ca=str(paths[0]),
        server=_write(folder, "server", ca.issue_cert(*NAMES)),
        client=_write(folder, "client", ca.issue_cert("client@greenredis.test", common_name="client")),
        expired=_write(folder, "expired", ca.issue_cert(*NAMES, **past)),
        misnamed=_write(folder, "misnamed", ca.issue_cert("elsewhere.test")),
        stranger=_write(folder, "stranger", stranger.issue_cert(*NAMES)),
        stranger_ca=str(paths[1]),
    )


def _write(folder: Path, name: str, leaf: Any) -> Pair:
    pair = Pair(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    leaf.cert_chain_pems[0].write_to_path(pair.cert)
    leaf.private_key_pem.write_to_path(pair.key)
    return pair


class TlsTerminator(Process):
    """TLS in front of a plain server's port, in a process of its own, which ends with this one.

    `pair` is what it shows, `certificates.server` by default; with `require_client_cert` it only takes
    clients with a certificate of the CA. A context manager.
    """

    def __init__(
        self,
        upstream_port: int,
        certificates: Certificates,
        require_client_cert: bool = False,
        pair: Pair | None = None,
    ) -> None:
        super().__init__("tls")
        self.upstream_port = upstream_port
        self.certificates = certificates
        self.pair = pair or certificates.server
        self._client_ca = certificates.ca if require_client_cert else ""
        self._lifeline: int | None = None  # its standard input, which ends when this process does

    def command(self) -> list[str]:
        ports = [str(self.port), str(self.upstream_port)]
        return [sys.executable, "-m", "greenredis.testing.tls", *ports, *self.pair, self._client_ca]

    def _launch(self, output: int) -> Child:
        reading, writing = os.pipe()
        try:
            child = Child(self.command(), output, reading, module_environment())
        finally:
            close_descriptor(reading)
        self._lifeline = writing
        return child

    def kill(self) -> None:
        super().kill()
        if self._lifeline is not None:
            close_descriptor(self._lifeline)
            self._lifeline = None


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copies until either side ends, then ends both."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # a broken connection ends like a closed one
    finally:
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _terminate_tls(port: int, upstream_port: int, cert: str, key: str, client_ca: str) -> None:
    """The program of `TlsTerminator`: serves until standard input ends."""

    def serve(client: socket.socket, _address: object) -> None:
        with client, socket.create_connection((HOST, upstream_port)) as upstream:
            back = gevent.spawn(_pump, upstream, client)
            _pump(client, upstream)
            back.join()

    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    StreamServer((HOST, port), serve, ssl_context=context).start()
    while gevent.os.tp_read(0, 100):
        pass


if __name__ == "__main__":
    _terminate_tls(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6])
