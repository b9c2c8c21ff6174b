"""Servers that do what no real server does: say anything, say nothing, break off, never accept."""

from __future__ import annotations

import errno
import socket as constants
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import gevent
import hiredis
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from .lateness import wait_until
from .process import HOST

if TYPE_CHECKING:
    from typing_extensions import Self

_FACTS = (("server", "scripted"), ("version", "7.4.0"), ("id", 0), ("mode", "standalone"), ("role", "master"))
_OK = b"+OK\r\n"


class ScriptedClient:
    """The server's side of one connection: what its handler may do beyond returning an answer."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self.protocol = 2
        self.commands: list[list[bytes]] = []
        self.closed = False
        self._socket = connection

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<ScriptedClient {self.number} {state}, {len(self.commands)} commands>"

    def send(self, data: bytes, piece: int | None = None, pause: float = 0.0) -> None:
        """Sends the bytes, in pieces of `piece` bytes with `pause` seconds between them if given."""
        size = piece or max(1, len(data))
        for start in range(0, len(data), size):
            if start:
                gevent.sleep(pause)
            self._socket.sendall(data[start : start + size])

    def cut(self, data: bytes, at: int) -> None:
        """Sends the first `at` bytes, and closes the connection."""
        self.send(data[:at])
        self.close()

    def close(self) -> None:
        """Closes the connection in order (FIN): what was sent arrives first."""
        if not self.closed:
            self.closed = True
            with suppress(OSError):  # the client was first
                self._socket.shutdown(constants.SHUT_RDWR)
            self._socket.close()

    def reset(self) -> None:
        """Breaks the connection off (RST)."""
        if not self.closed:
            self._socket.setsockopt(constants.SOL_SOCKET, constants.SO_LINGER, struct.pack("ii", 1, 0))
            self.closed = True
            self._socket.close()


Handler = Callable[[list[bytes], ScriptedClient], "bytes | None"]


class ScriptedServer:
    """A TCP server in the hub of the test, whose answers the test writes.

    `handler(words, client)` is called for every command, in a greenlet of the connection, and returns the
    bytes to send, or None to say nothing; it may use `client` for the rest. With `handshake`, what a client
    says when it connects (HELLO, AUTH, CLIENT SETINFO and SETNAME, SELECT, READONLY, PING) is answered as a
    server would, without the handler. `commands` has all commands in the order of their arrival, the
    handshake's too. A context manager: what a handler raised is raised again at the end of the block.
    """

    host = HOST

    def __init__(self, handler: Handler, handshake: bool = True, resp3: bool = True) -> None:
        self.commands: list[list[bytes]] = []
        self.clients: list[ScriptedClient] = []
        self._errors: list[Exception] = []
        self._handler = handler
        self._handshake = handshake
        self._resp3 = resp3
        self._server = StreamServer((self.host, 0), self._serve, spawn=Pool())

    def __repr__(self) -> str:
        return f"<ScriptedServer {self.address} {self.connections} open, {len(self.commands)} commands>"

    @property
    def port(self) -> int:
        port = self._server.server_port
        assert port is not None, "not started"
        return port

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open; `total_connections` counts those that were."""
        return sum(not client.closed for client in self.clients)

    @property
    def total_connections(self) -> int:
        return len(self.clients)

    def sent(self, name: str) -> list[list[bytes]]:
        """The commands of this name (any case), in order."""
        return [words for words in self.commands if words[0].upper() == name.upper().encode()]

    def start(self) -> Self:
        self._server.start()
        return self

    def close(self) -> None:
        """Stops listening, ends handlers and closes all connections; raises what a handler raised first."""
        self._server.stop(timeout=0)
        for client in self.clients:
            client.close()
        if self._errors:
            raise self._errors.pop(0)

    def _serve(self, connection: socket.socket, _address: object) -> None:
        client = ScriptedClient(len(self.clients), connection)
        self.clients.append(client)
        try:
            self._converse(client, connection)
        except OSError:
            pass  # the client's end of the connection is gone, which is its right
        except Exception as error:
            self._errors.append(error)
        finally:
            client.close()

    def _converse(self, client: ScriptedClient, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        while not client.closed:
            data = connection.recv(65536)
            if not data:
                return
            reader.feed(data)
            while not client.closed and (words := reader.gets()) is not False:
                self._answer(words, client)

    def _answer(self, words: list[bytes], client: ScriptedClient) -> None:
        self.commands.append(words)
        client.commands.append(words)
        reply = self._greet(words, client) if self._handshake else None
        if reply is None:
            reply = self._handler(words, client)
        if reply:
            client.send(reply)

    def _greet(self, words: list[bytes], client: ScriptedClient) -> bytes | None:
        name = words[0].upper()
        if name == b"HELLO":
            return self._hello(words, client)
        if name == b"PING" and len(words) == 1:
            return b"+PONG\r\n"
        if name == b"CLIENT" and len(words) > 1 and words[1].upper() in (b"SETINFO", b"SETNAME"):
            return _OK
        return _OK if name in (b"AUTH", b"SELECT", b"READONLY") else None

    def _hello(self, words: list[bytes], client: ScriptedClient) -> bytes:
        if not self._resp3:
            return b"-ERR unknown command 'HELLO'\r\n"
        client.protocol = int(words[1]) if len(words) > 1 else client.protocol
        header = b"%7\r\n" if client.protocol == 3 else b"*14\r\n"
        facts = [word for fact in (*_FACTS, ("proto", client.protocol)) for word in fact]
        return header + b"".join(_resp(word) for word in facts) + b"$7\r\nmodules\r\n*0\r\n"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._errors.clear()
        self.close()


def _resp(word: str | int) -> bytes:
    return f":{word}\r\n".encode() if isinstance(word, int) else f"${len(word)}\r\n{word}\r\n".encode()


class FullListener:
    """A listener that never accepts, with no room left in its queue: connecting to it hangs.

    A context manager. The queue's length is the kernel's choice, so it is filled until a connection hangs.
    """

    host = HOST

    def __init__(self) -> None:
        self._listener = socket.socket(constants.AF_INET, constants.SOCK_STREAM)
        self._fillers: list[socket.socket] = []
        self.port = 0

    def start(self) -> Self:
        self._listener.bind((self.host, 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        while self._connects(0.1):
            if len(self._fillers) > 1000:
                raise OSError(errno.ENOBUFS, "the listener's queue does not fill")
        return self

    def _connects(self, timeout: float) -> bool:
        filler = socket.socket(constants.AF_INET, constants.SOCK_STREAM)
        self._fillers.append(filler)
        filler.setblocking(False)
        filler.connect_ex((self.host, self.port))
        try:
            wait_until(lambda: _established(filler), timeout)
        except AssertionError:
            return False
        return True

    def close(self) -> None:
        for each in (*self._fillers, self._listener):
            each.close()
        self._fillers.clear()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _established(filler: socket.socket) -> bool:
    try:
        filler.getpeername()
    except OSError:
        return False
    return True
