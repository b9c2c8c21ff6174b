"""A socket that a user's subclass of a connection brings, as fakeredis does, in a wire's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gevent import get_hub

from ..exceptions import ResponseError
from ..protocol import Word


class OwnSocket:
    """Writes to `sock.sendall`; its owner reads, by overriding `read_response`."""

    tls = False

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.closed = False
        self.deadline: float | None = None
        self.hub = get_hub()

    def send_all(self, piece: bytes | memoryview, until: float | None = None) -> None:
        self.sock.sendall(bytes(piece))

    def close(self) -> None:
        self.closed = True
        self.sock.close()

    shut = close

    def looks_idle(self) -> bool:
        return not self.closed

    def is_cut(self) -> bool:
        return self.closed


def ask(connection: Any, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """The replies to a handshake's commands, one at a time; errors among them."""
    replies: list[Any] = []
    for command in commands:
        connection.send_command(*command, check_health=False)
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
    connection.tainted = False
    return replies
