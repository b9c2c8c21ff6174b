"""Open a cooperative socket: TCP, Unix, TLS."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent.socket
from gevent.monkey import get_original

from ..config import Address
from .wire import WRITE, Wire

if TYPE_CHECKING:
    import ssl

NativeSocket: type[socket.socket] = get_original("socket", "socket")


def connect(
    address: Address, options: Mapping[str, Any], context: ssl.SSLContext | None, deadline: float | None
) -> Wire:
    """A connected wire to `address`, over TLS if there is a `context`.

    The addresses of a name are tried in turn.  Raises OSError (the last one's), or the built-in
    TimeoutError at `deadline`.
    """
    failure: OSError = OSError(f"no address was found for {address}")
    for family, kind, proto, target in _targets(address, options, deadline):
        try:
            return _connect(family, kind, proto, target, options, context, address, deadline)
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
    raise failure


def _targets(
    address: Address, options: Mapping[str, Any], deadline: float | None
) -> Iterator[tuple[Any, ...]]:
    if address.path is not None:
        yield socket.AF_UNIX, socket.SOCK_STREAM, 0, address.path
        return
    with limit(deadline):
        found = gevent.socket.getaddrinfo(
            address.host, address.port, options.get("socket_type", 0), socket.SOCK_STREAM
        )
    for family, kind, proto, _, target in found:
        yield family, kind, proto, target


def limit(deadline: float | None) -> gevent.Timeout:
    """A block that raises the built-in TimeoutError at `deadline`."""
    seconds = None if deadline is None else max(0.0, deadline - monotonic())
    return gevent.Timeout.start_new(seconds, TimeoutError("timed out"))


def _connect(
    family: int,
    kind: int,
    proto: int,
    target: Any,
    options: Mapping[str, Any],
    context: ssl.SSLContext | None,
    address: Address,
    deadline: float | None,
) -> Wire:
    sock = NativeSocket(family, kind, proto)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            _set_tcp_options(sock, options)
        wire = Wire(sock)
    except BaseException:
        sock.close()
        raise
    ready = False
    try:
        wire.deadline = deadline
        _finish_connect(wire, target)
        if context is not None:
            wire.start_tls(context, address.host)
        ready = True
        return wire
    finally:
        if not ready:
            wire.close()


def _finish_connect(wire: Wire, target: Any) -> None:
    sock = wire.sock
    try:
        sock.connect(target)
    except BlockingIOError as error:
        if sock.family == socket.AF_UNIX:
            raise ConnectionRefusedError(error.errno, "the listener's queue is full") from error
        wire.wait(WRITE)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


def _set_tcp_options(sock: socket.socket, options: Mapping[str, Any]) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.get("socket_keepalive"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (options.get("socket_keepalive_options") or {}).items():
            sock.setsockopt(socket.IPPROTO_TCP, name, value)
    seconds = options.get("tcp_user_timeout")
    if seconds is None:
        seconds = options.get("socket_timeout")
    if seconds and sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
