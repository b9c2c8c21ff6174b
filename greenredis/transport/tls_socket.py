"""TLS without I/O of its own: memory buffers over a native socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

_PIECE = 65_536


class TlsSocket:
    """TLS over a native socket, through memory buffers: no I/O but send and recv.

    A `send` that raises BlockingIOError must be repeated with the same data, as in OpenSSL.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        import ssl  # not before it is needed: a program may patch it after importing this

        self._ssl = ssl
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._backlog = b""
        self._accepted = 0
        self.fileno = sock.fileno
        self.shutdown = sock.shutdown
        self.close = sock.close
        self.detach = sock.detach
        self.getpeername = sock.getpeername
        self.getsockname = sock.getsockname

    def handshake(self) -> bool:
        """Go one step; whether the handshake is done. BlockingIOError: read, then call again."""
        try:
            self._tls.do_handshake()
        except self._ssl.SSLWantReadError:
            self._flush()
            self._receive()
            return False
        except self._ssl.SSLError:
            self._flush_if_possible()  # the alert tells the server why
            raise
        self._flush()
        return True

    def send(self, data: Any) -> int:
        """How many bytes were taken; all of those have been handed to the kernel."""
        if not self._accepted:
            self._accepted = self._tls.write(memoryview(data)[:_PIECE])
        self._flush()
        taken, self._accepted = self._accepted, 0
        return taken

    def recv_into(self, buffer: Any) -> int:
        """How many decrypted bytes were read; 0 at the end. Call until BlockingIOError."""
        while True:
            try:
                return self._tls.read(len(buffer), buffer)  # type: ignore[return-value]
            except self._ssl.SSLWantReadError:
                self._flush_if_possible()
                self._receive()
            except (self._ssl.SSLZeroReturnError, self._ssl.SSLEOFError):
                return 0

    def has_pending_writes(self) -> bool:
        return bool(self._backlog or self._outgoing.pending)

    def version(self) -> str | None:
        return self._tls.version()

    def getpeercert(self, binary_form: bool = False) -> Any:
        return self._tls.getpeercert(binary_form)

    def _receive(self) -> None:
        data = self._sock.recv(_PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._backlog += self._outgoing.read()
        while self._backlog:
            self._backlog = self._backlog[self._sock.send(self._backlog) :]

    def _flush_if_possible(self) -> None:
        try:
            self._flush()
        except OSError:  # also BlockingIOError: the next send takes it along
            pass
