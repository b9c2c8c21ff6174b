"""One command, one reply: send, read, and what is owed."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from time import monotonic
from typing import Any

from .. import deadlines
from ..driver_info import UNSET as _UNSET
from ..exceptions import ConnectionError, InvalidResponse, RedisError
from ..protocol import NOT_ENOUGH, Packed, Parser, Push, Word
from .opening import OpeningConnection
from .own_socket import OwnSocket
from .own_socket import ask as ask_one_by_one
from .wire import TURN, Wire, give_turn

UNSET: Any = _UNSET


class CoreConnection(OpeningConnection):
    """One connection to a server: one command and one reply.

    `owed` counts the replies that have not been read whole.  It goes up before the first byte of a
    command is written, so a connection that owes nothing is clean whatever was thrown.
    """

    def ask(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to `commands`, errors among them, written as one batch."""
        wire = self._live_wire()
        if isinstance(wire, OwnSocket):
            return ask_one_by_one(self, commands)
        until = wire.deadline
        if self.socket_timeout is not None:
            own = monotonic() + self.socket_timeout
            wire.deadline = own if until is None else min(own, until)
        self.owed += len(commands)
        packed = [self.encoder.pack(command) for command in commands]
        replies: list[Any] = []
        try:
            # In one piece: to a second one, a server that has refused us answers with a reset only.
            self._write(b"".join(each if isinstance(each, bytes) else b"".join(each) for each in packed))
            for _ in commands:
                replies.append(self._read())
                self.owed -= 1
            return replies
        except OSError as error:
            if replies and isinstance(replies[0], ConnectionError):  # why the server then closed it
                raise replies[0] from error
            raise self._translated(error, "shaking hands with") from error
        finally:
            wire.deadline = until

    # -- one command, one reply

    def execute(self, packed: Packed, seconds: float | None = UNSET, decode: bool = True) -> Any:
        """The reply to one packed command; an error reply is returned, not raised.

        `seconds`: from the write to the whole reply; by default `socket_timeout`.  Raises
        ConnectionError or TimeoutError with `maybe_executed`: whether all of it was written.
        """
        wire = self._wire
        if wire is None or wire.closed:
            self.connect()
            wire = self._live_wire()
        wire.deadline = deadlines.after(self.socket_timeout if seconds is UNSET else seconds)
        written = False
        self._eager = wire.tls
        self.owed += 1
        try:
            if packed.__class__ is bytes:
                wire.send_all(packed)
            else:
                self._write(packed)
            written = True
            reply = self._read(decode)
        except OSError as error:
            raise self._lost(error, written) from error
        except InvalidResponse as error:
            raise self._lost(error, True) from None
        except UnicodeDecodeError:  # the reply was read whole
            self.owed -= 1
            raise
        self.owed -= 1
        return reply

    def execute_many(
        self, packed: Packed, count: int, seconds: float | None = UNSET, decode: bool = True
    ) -> list[Any]:
        """The replies to `count` packed commands, in `seconds`; error replies are among them."""
        if not self.is_connected:
            self.connect()
        self._live_wire().deadline = deadlines.after(self.socket_timeout if seconds is UNSET else seconds)
        self.owed += count
        self._taken = False
        replies: list[Any] = []
        try:
            self._write(packed)
            self._read_many(replies, count, decode)
            return replies
        except OSError as error:
            raise self._lost(error, self._taken) from error
        except InvalidResponse as error:
            raise self._lost(error, True) from None

    def _read_many(self, replies: list[Any], count: int, decode: bool) -> None:
        """Append so many replies; what cannot be decoded is an error among them."""
        gets: Any = self._parser.gets if self._parser is not None else None
        while len(replies) < count:
            try:
                reply = gets() if decode and gets else NOT_ENOUGH
                if reply is NOT_ENOUGH or reply.__class__ is Push:
                    reply = self._read(decode)
            except UnicodeDecodeError as error:  # the reply was read whole
                reply = error
            except (TypeError, MemoryError) as error:
                raise _no_value(error) from error
            replies.append(reply)
            self.owed -= 1

    def _write(self, packed: Packed, until: float | None = UNSET) -> None:
        """Write all, by `until` or the wire's deadline; `_taken` tells whether the kernel took any of it."""
        wire = self._live_wire()
        turn = monotonic() + TURN
        for piece in (packed,) if isinstance(packed, bytes) else packed:
            if not piece:
                continue
            if monotonic() > turn:  # never after the last piece: who is killed there has sent it whole
                give_turn(wire.hub)
                turn = monotonic() + TURN
            try:
                wire.send_all(piece, until)
            except OSError as error:
                self._taken = self._taken or getattr(error, "unsent", 0) < len(piece)
                raise
            self._taken = True

    def _read(self, decode: bool = True, pushes: bool = False) -> Any:
        parser = self._parser
        if parser is None:
            raise ConnectionAbortedError("closed by its owner")
        gets = parser.gets
        try:
            while True:
                reply = gets() if decode else gets(False)
                if reply is NOT_ENOUGH:
                    if not parser.rest or not parser.resume():
                        self._fill(parser)
                    elif monotonic() > self._turn:
                        self._give_turn(self._live_wire())
                elif reply.__class__ is not Push or pushes:
                    return reply
        except (TypeError, MemoryError) as error:  # a map of what Python cannot hash, or too much
            raise _no_value(error) from error

    def _fill(self, parser: Parser) -> None:
        """Feed the parser what comes next, or wait for it. One switch point, two where the reply is long."""
        wire = self._wire
        if wire is None:
            raise ConnectionAbortedError("closed by its owner")
        if not self._eager:
            wire.wait()
            self._turn = monotonic() + TURN
        elif monotonic() > self._turn:
            self._give_turn(wire)
        buffer = self._buffer
        try:
            count = wire.sock.recv_into(buffer)
        except BlockingIOError:
            self._eager = False
            return
        if not count:
            if self._marked:
                raise ConnectionAbortedError("closed by its owner")
            raise ConnectionResetError("the server closed the connection")
        parser.feed(buffer, count)
        self._eager = wire.tls or count == len(buffer)

    def _give_turn(self, wire: Wire) -> None:
        """Between the chunks of a long reply. A switch point; TimeoutError at the deadline."""
        give_turn(wire.hub)
        self._turn = now = monotonic()
        self._turn += TURN
        if wire.deadline is not None and now > wire.deadline:
            raise builtins.TimeoutError("timed out")

    def _lost(self, error: Exception, written: bool) -> RedisError:
        """The error to raise, with the connection closed."""
        self.disconnect()
        translated = error if isinstance(error, RedisError) else self._translated(error, "talking to")
        translated.maybe_executed = written
        if translated.address is None:
            translated.address = self.address
        return translated

    # -- for the pool

    def is_reusable(self) -> bool:
        """Whether the next caller may have it. Nothing here switches greenlets."""
        return (
            self.owed == 0
            and not self.tainted
            and not self._marked
            and self._wire is not None
            and not self._wire.closed
            and self._parser is not None
            and not self._parser.has_data()
            and not self._parser.rest
            and self.expires > monotonic()
        )

    def looks_idle(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody asked for."""
        return self._wire is not None and not self._wire.closed and self._wire.looks_idle()

    def is_cut(self) -> bool:
        """Whether the server has closed it and left nothing to read."""
        return self._wire is None or self._wire.is_cut()

    def hand_over(self) -> tuple[Wire, Parser]:
        """Wire and parser, for somebody who reads and writes in this connection's stead."""
        wire, parser = self._live_wire(), self._parser
        assert parser is not None
        return wire, parser


def _no_value(error: Exception) -> InvalidResponse:
    return InvalidResponse(f"a reply that is no Python value: {error}")
