"""Words to bytes and bytes to replies, on hiredis. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import hiredis

from .exceptions import DataError, InvalidResponse, parse_error

Word = str | bytes | bytearray | memoryview | int | float
Packed = bytes | Iterator[bytes | memoryview]

NOT_ENOUGH = object()  # what `gets` returns while the reply is not whole
Push = hiredis.PushNotification
_pack: Callable[[Any], bytes] = hiredis.pack_command

BIG_WORD = 65_536  # longer words are written from the user's own buffer
MANY_WORDS = 2_000  # longer commands are packed in parts
MAX_ELEMENTS = 16_777_216  # hiredis reserves 8 bytes for each element that a header announces


class Packer:
    """Packs commands, as bytes, or as pieces where a word is over 64 KB."""

    def __init__(
        self, encoding: str = "utf-8", errors: str = "strict", decode_responses: bool = False
    ) -> None:
        self.encoding = encoding
        self.errors = self.encoding_errors = errors
        self.decode_responses = decode_responses
        self._native = encoding.lower().replace("_", "-") in ("utf-8", "utf8") and errors == "strict"

    def pack(self, words: Sequence[Word]) -> Packed:
        """The command on the wire; the pieces of a long one are made as they are asked for.

        Raises DataError for a word that is no bytes, str, int or float (as redis-py does).
        """
        if len(words) > MANY_WORDS:
            return self._pieces(words)
        try:
            for word in words:
                if word.__class__ is not int and word.__class__ is not float and len(word) > BIG_WORD:  # type: ignore[arg-type]
                    return self._pieces(words)
            if self._native:
                return _pack(words)
        except TypeError:
            pass
        return _pack(tuple(map(self.encode, words)))

    def encode(self, word: Any) -> bytes | memoryview:
        """The word as bytes; DataError says what to do about any other type."""
        if isinstance(word, bytes):
            return word
        if isinstance(word, str):
            return word.encode(self.encoding, self.errors)
        if isinstance(word, (bytearray, memoryview)):
            return memoryview(word).cast("B") if memoryview(word).nbytes > BIG_WORD else bytes(word)
        if isinstance(word, (int, float)) and not isinstance(word, bool):
            return repr(word).encode()
        kind = type(word).__name__
        raise DataError(f"Invalid input of type: '{kind}'. Convert to a bytes, string, int or float first.")

    def decode(self, value: Any, force: bool = False) -> Any:
        """Bytes as str if replies are decoded, or by `force`; anything else as it is."""
        if (force or self.decode_responses) and isinstance(value, (bytes, memoryview)):
            return str(value, self.encoding, self.errors)
        return value

    def _pieces(self, words: Sequence[Word]) -> Iterator[bytes | memoryview]:
        yield b"*%d\r\n" % len(words)
        for start in range(0, len(words), MANY_WORDS):
            small: list[bytes | memoryview] = []
            for word in map(self.encode, words[start : start + MANY_WORDS]):
                if len(word) <= BIG_WORD:
                    small.append(word)
                    continue
                yield _without_header(small) + b"$%d\r\n" % len(word)
                yield word
                yield b"\r\n"
                small = []
            yield _without_header(small)


def _without_header(words: list[bytes | memoryview]) -> bytes:
    return _pack(tuple(words))[len(b"*%d\r\n" % len(words)) :] if words else b""


# Where hiredis could be made to reserve memory, or to count one reply too many: an attribute, or
# an aggregate of 8 digits and more, or a header that the chunk's end cuts.
_RISKY = rb"(?:\||[*~>%](?:[0-9+-]{8}|[0-9+-]*\r?\Z))"
_risky_at = re.compile(_RISKY).match
_risky_after = re.compile(rb"\n" + _RISKY).search
_header = re.compile(rb"[*~>%$]([+-]?[0-9]{1,20})\r\n").match
_TYPES = b"|*~>%"
_LF = 10
_HUGE = 1 << 20
_LONG = 4096  # a chunk in which it pays to look for a value that goes on beyond it


class Parser:
    """Replies from bytes: feed it, then call `gets` until NOT_ENOUGH, and `resume` until False.

    Headers that would make hiredis reserve much memory, and RESP3 attributes (which hiredis
    counts as a reply of their own), are refused with InvalidResponse before they reach it.  To
    tell them from the same bytes inside a value, the bytes before them are parsed first: then
    hiredis has nothing left exactly where a header may begin.
    """

    __slots__ = ("_reader", "_value_left", "gets", "rest")

    def __init__(self, encoding: str | None = None, errors: str = "strict", address: object = None) -> None:
        """`encoding`: what to decode replies with; None leaves them as bytes."""
        self._reader: Any = hiredis.Reader(
            protocolError=partial(_invalid, address),
            replyError=partial(parse_error, address=address),
            notEnoughData=NOT_ENOUGH,
            encoding=encoding,
            errors=errors,
        )
        self.gets: Callable[..., Any] = self._reader.gets
        self.rest = b""  # withheld; begins where a risky header may begin
        self._value_left = 0  # bytes of the value being read that have not come yet

    def feed(self, buffer: bytearray, count: int) -> None:
        """Take the first `count` bytes of `buffer`."""
        left = self._value_left
        if left >= count:
            self._value_left -= count
            self._reader.feed(buffer, 0, count)
        elif left:
            self._value_left = 0
            self._reader.feed(buffer, 0, left)
            self._feed_until_risk(bytes(memoryview(buffer)[left:count]), 0)
        elif self.rest:
            self.rest += buffer[:count]
        else:
            find = buffer.find
            for kind in _TYPES:
                if find(kind, 0, count) >= 0:
                    break
            else:
                if count < _LONG or self._start_of_big_value(buffer, count, 0) == count:
                    self._reader.feed(buffer, 0, count)
                    return
            self._feed_until_risk(bytes(memoryview(buffer)[:count]), 0)

    def resume(self) -> bool:
        """Whether there is more to get, now that all that was fed has been parsed.

        Raises InvalidResponse where the bytes that come next are refused.
        """
        rest = self.rest
        if not rest or not (self._reader.has_data() or self._accept_header(rest)):
            return False
        self.rest = b""
        if self._value_left:
            self._reader.feed(rest)
        else:
            self._feed_until_risk(rest, 1)
        return True

    def is_clean(self) -> bool:
        """Whether nothing is left over behind the last reply."""
        return not self.rest and not self._reader.has_data()

    def _feed_until_risk(self, chunk: bytes, first: int) -> None:
        """Feed what lies before the next risky place, at `first` at the earliest; keep the rest."""
        if first == 0 and _risky_at(chunk):
            end = 0
        elif any(chunk.find(kind, 1) > 0 for kind in _TYPES) and (found := _risky_after(chunk)):
            end = found.start() + 1
        else:
            end = self._start_of_big_value(chunk, len(chunk), first)
        if end:
            self._reader.feed(chunk, 0, end)
        self.rest = chunk[end:]

    def _accept_header(self, rest: bytes) -> bool:
        """Whether the header that begins here is whole; InvalidResponse if it is not allowed."""
        if rest[:1] == b"|":
            raise InvalidResponse("a RESP3 attribute, which the parser cannot tell from a reply")
        header = _header(rest)
        if header is None:
            return b"\n" in rest or len(rest) > 24  # no header: hiredis says what is wrong with it
        length = int(header[1])
        if rest[:1] == b"$":
            self._value_left = max(0, header.end() + length + 2 - len(rest))
            if length > _HUGE:
                _keep_big_blocks()
        elif length > MAX_ELEMENTS:
            raise InvalidResponse(f"a reply of {length} elements; the limit is {MAX_ELEMENTS}")
        return True

    @staticmethod
    def _start_of_big_value(chunk: bytes | bytearray, count: int, first: int) -> int:
        """Where the value begins that goes on beyond this chunk; `count` if none does."""
        last = chunk.rfind(b"$", first, count)
        if last == 0 or (last > 0 and chunk[last - 1] == _LF):
            header = _header(chunk, last, count)
            if header is not None and int(header[1]) > count - last:
                return last
        return count


@cache
def _keep_big_blocks() -> None:
    """Let malloc keep the memory of long values, which come in pairs: hiredis's and ours.

    glibc returns memory to the system by a limit that adapts to the largest block freed so far;
    below it, each value of 10 MB costs 8 ms of page faults. Nothing is touched, so this costs 10 us.
    """
    bytearray(31 << 20)


def _invalid(address: object, message: str) -> InvalidResponse:
    error = InvalidResponse(message)
    error.address = address
    return error
