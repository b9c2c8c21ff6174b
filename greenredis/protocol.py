"""Words to bytes and bytes to replies, on hiredis. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import hiredis

from .exceptions import DataError, InvalidResponse, parse_error

Word = str | bytes | bytearray | memoryview | int | float
Packed = bytes | Iterable[bytes | memoryview]

NOT_ENOUGH = object()  # what `gets` returns while the reply is not whole
Push = hiredis.PushNotification
_pack: Callable[[Any], bytes] = hiredis.pack_command

BIG_WORD = 65_536  # longer words are written from the user's own buffer
FEW_WORDS = 16  # which cannot be long together, unless one is big
MANY_WORDS = 2_000  # longer commands are packed in parts, as are those of over a megabyte
MAX_ELEMENTS = 16_777_216  # hiredis reserves 8 bytes for each element that a header announces


_NOT_PLAIN = (None,)


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
        if len(words) > FEW_WORDS and (len(words) > MANY_WORDS or sum(map(_length, words)) > _HUGE):
            return self._pieces(words)
        try:
            for word in words:
                if word.__class__ is not int and word.__class__ is not float and len(word) > BIG_WORD:  # type: ignore[arg-type]
                    return self._pieces(words)
            if self._native:
                return _pack(words)
        except TypeError:
            pass
        name = words[0].encode() if isinstance(words[0], str) else self.encode(words[0])
        return _pack((name, *map(self.encode, words[1:])))

    def pack_whole(self, words: Sequence[Word]) -> bytes:
        """The command in one piece, however long it is."""
        packed = self.pack(words)
        return packed if isinstance(packed, bytes) else b"".join(packed)

    def pack_many(self, commands: Iterable[Sequence[Word]]) -> list[Packed]:
        """Each command as `pack` gives it."""
        packed: list[Packed] = []
        for words in commands:
            for word in words if len(words) <= FEW_WORDS and self._native else _NOT_PLAIN:
                kind = word.__class__
                if kind is str or kind is bytes:
                    if len(word) > BIG_WORD:  # type: ignore[arg-type]
                        break
                elif kind is not int and kind is not float:
                    break
            else:
                packed.append(_pack(words))
                continue
            packed.append(self.pack(words))
        return packed

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
        """The command in pieces; an empty one is a place for the hub's turn."""
        yield b"*%d\r\n" % len(words)
        small: list[bytes | memoryview] = []
        size = 0
        for word in words:
            if isinstance(word, str) and len(word) > _HUGE and self._native:
                yield _without_header(small)
                yield from _text_pieces(word)
                small, size = [], 0
                continue
            encoded = self.encode(word)
            if len(encoded) > BIG_WORD:
                yield _without_header(small) + b"$%d\r\n" % len(encoded)
                yield encoded
                yield b"\r\n"
                small, size = [], 0
                continue
            small.append(encoded)
            size += len(encoded)
            if size > BIG_WORD or len(small) == MANY_WORDS:
                yield _without_header(small)
                small, size = [], 0
        yield _without_header(small)


def _text_pieces(word: str) -> Iterator[bytes]:
    encoded = []
    for start in range(0, len(word), _HUGE):
        encoded.append(word[start : start + _HUGE].encode())
        yield b""
    yield b"$%d\r\n" % sum(map(len, encoded))
    yield from encoded
    yield b"\r\n"


def _length(word: Word) -> int:
    return len(word) if isinstance(word, (bytes, str)) else 8


def _without_header(words: list[bytes | memoryview]) -> bytes:
    return _pack(tuple(words))[len(b"*%d\r\n" % len(words)) :] if words else b""


# Where hiredis could be made to reserve memory, or to count one reply too many: an attribute, or
# an aggregate of 8 digits and more, or a header that the chunk's end cuts; also a lone first byte at
# the end, which hiredis takes at once, so that what follows it would look like a token of its own.
_RISKY = rb"(?:\||[*~>%](?:[0-9+-]{8}|[0-9+-]*\r?\Z)|[^\n]\Z)"
_risky_at = re.compile(_RISKY).match
_risky_line = re.compile(rb"\n" + _RISKY).search
_is_huge_at = re.compile(rb"\||[*~>%][0-9+-]{8}").match
_huge_line = re.compile(rb"\n(?:\||[*~>%][0-9+-]{8})").search
_header = re.compile(rb"[*~>%$=]([+-]?[0-9]{1,20})\r\n").match
_TYPES = b"|*~>%"
_any_type = re.compile(b"[" + _TYPES + b"]").search
_LINES = tuple(b"\n%c" % kind for kind in _TYPES)
_VALUES = b"$="
_LF = 10
_LONGEST_HEADER = 24
_HUGE = 1 << 20
_SHORT = 200  # bytes that a search goes through faster than it takes to begin another
_LONG = 4096  # a chunk in which it pays to look for a value that goes on beyond it


class Parser:
    """Replies from bytes: feed it, then call `gets` until NOT_ENOUGH, and `resume` until False.

    Headers that would make hiredis reserve much memory, and RESP3 attributes (which hiredis counts
    as a reply of their own), are refused with InvalidResponse before they reach it.  The same bytes
    inside a value are no header: where a chunk has any, it is read token by token if it begins with
    one; else a place is a header if hiredis has nothing left over when it was fed all before it.
    """

    __slots__ = ("_at", "_reader", "_value_left", "gets", "has_data", "rest")

    def __init__(self, encoding: str | None = None, errors: str = "strict", address: object = None) -> None:
        """`encoding`: what to decode replies with; None leaves them as bytes."""
        self._reader: Any = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=partial(parse_error, address=address),
            notEnoughData=NOT_ENOUGH,
            encoding=encoding,
            errors=errors,
        )
        self.gets: Callable[..., Any] = self._reader.gets
        self.has_data: Callable[[], bool] = self._reader.has_data
        self.rest = b""  # withheld, from `_at` on, where a risky header may begin
        self._at = 0
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
            self._feed_from_token(bytes(memoryview(buffer)[left:count]), 0)
        elif self.rest:
            self.rest, self._at = self.rest[self._at :] + buffer[:count], 0
        elif count < _SHORT and buffer[count - 1] == _LF and _any_type(buffer, 0, count) is None:
            self._reader.feed(buffer, 0, count)
        else:
            find = buffer.find
            for kind in _TYPES:
                if find(kind, 0, count) >= 0:
                    break
            else:
                cut = buffer[count - 1] != _LF and (count == 1 or buffer[count - 2] == _LF)
                if not cut and (count < _LONG or self._start_of_long_value(buffer, count) == count):
                    self._reader.feed(buffer, 0, count)
                    return
            self._feed_carefully(bytes(memoryview(buffer)[:count]))

    def resume(self) -> bool:
        """Whether there is more to get, now that all that was fed has been parsed.

        Raises InvalidResponse where the bytes that come next are refused.
        """
        if not self.rest:
            return False
        rest, at = self.rest, self._at
        if self._reader.has_data():
            self._feed_to_next_risk(rest, at, at + 1)
            return True
        if not self._is_allowed(rest, at):
            return False
        self.rest = b""
        header = _header(rest, at) if rest[at] in _TYPES else None
        if header is not None:
            self._feed_tokens(rest, at, header.end())
        elif rest[at] in _TYPES:  # no header at all: hiredis says what is wrong with it
            self._reader.feed(rest, at, len(rest) - at)
        elif self._start_of_long_value(rest, len(rest)) == at:
            self._feed_tokens(rest, at, at)
        else:
            self._feed_from_token(rest, at)
        return True

    def is_clean(self) -> bool:
        """Whether nothing is left over behind the last reply."""
        return not self.rest and not self._reader.has_data()

    def _feed_carefully(self, chunk: bytes) -> None:
        if self._reader.has_data():
            self._feed_to_next_risk(chunk, 0, 0)
        else:
            self._feed_from_token(chunk, 0)

    def _feed_from_token(self, chunk: bytes, start: int) -> None:
        """Feed from `start`, where a token begins; keep a header that is cut, and a long value."""
        if _is_huge_at(chunk, start) or (_has_line(chunk) and _huge_line(chunk, start)):
            self._feed_tokens(chunk, start, start)
            return
        end = min(_cut(chunk), self._start_of_long_value(chunk, len(chunk)))
        if end > start:
            self._reader.feed(chunk, start, end - start)
        if end < len(chunk):
            self.rest, self._at = chunk, max(start, end)

    def _feed_to_next_risk(self, chunk: bytes, start: int, first: int) -> None:
        """Feed from `start` to what may be a risky header, at `first` at the earliest; keep the rest."""
        end = _cut(chunk)
        if first == 0 and _risky_at(chunk):
            end = 0
        elif _has_line(chunk):
            found = _risky_line(chunk, max(first - 1, 0))
            end = found.start() + 1 if found else len(chunk)
        elif end < first:
            end = len(chunk)
        if end > start:
            self._reader.feed(chunk, start, end - start)
        self.rest, self._at = (chunk, end) if end < len(chunk) else (b"", 0)

    def _feed_tokens(self, chunk: bytes, start: int, place: int = 0) -> None:
        """Feed from `start` to a header that is not allowed or not whole; a token begins at `place`."""
        whole, find = len(chunk), chunk.find
        while place < whole:
            kind = chunk[place]
            if place == whole - 1:
                self._withhold(chunk, start, place)
                return
            if kind in _VALUES:
                header = _header(chunk, place)
                if header is None:
                    break  # cut, or wrong, which hiredis says
                place = header.end() + max(-2, int(header[1])) + 2
            elif kind in _TYPES and _risky_at(chunk, place) and not self._was_allowed(chunk, place):
                self._withhold(chunk, start, place)
                return
            else:
                end = find(b"\n", place)
                if end < 0:
                    break
                place = end + 1
        if place > whole:
            self._value_left = place - whole
            if self._value_left > _HUGE:
                _keep_big_blocks()
        self._reader.feed(chunk, start, whole - start)

    def _withhold(self, chunk: bytes, start: int, end: int) -> None:
        if end > start:
            self._reader.feed(chunk, start, end - start)
        self.rest, self._at = chunk, end

    def _was_allowed(self, chunk: bytes, place: int) -> bool:
        header = _header(chunk, place)
        return header is not None and int(header[1]) <= MAX_ELEMENTS

    def _is_allowed(self, chunk: bytes, place: int) -> bool:
        """Whether the header is whole; InvalidResponse if it may not pass."""
        if chunk[place] == _TYPES[0]:
            raise InvalidResponse("a RESP3 attribute, which the parser cannot tell from a reply")
        if chunk[place] not in _TYPES:
            return len(chunk) - place > 1
        header = _header(chunk, place)
        if header is None:
            return b"\n" in chunk[place:] or len(chunk) - place > _LONGEST_HEADER
        if int(header[1]) > MAX_ELEMENTS:
            raise InvalidResponse(f"a reply of {int(header[1])} elements; the limit is {MAX_ELEMENTS}")
        return True

    @staticmethod
    def _start_of_long_value(chunk: bytes | bytearray, count: int) -> int:
        """Where the value begins that goes on beyond this chunk; `count` if none does."""
        last = chunk.rfind(b"$", 0, count)
        if last == 0 or (last > 0 and chunk[last - 1] == _LF):
            header = _header(chunk, last, count)
            if header is not None and int(header[1]) > count - last:
                return last
        return count


def _has_line(chunk: bytes) -> bool:
    """Whether a line in it begins as a risky header may."""
    return any(line[1] in chunk and line in chunk for line in _LINES)  # one byte is found much faster


def _cut(chunk: bytes) -> int:
    """Where the last line begins if it may be a header that the end cuts, or is one byte; else the end."""
    last = chunk.rfind(b"\n") + 1
    return last if last < len(chunk) and _risky_at(chunk, last) else len(chunk)


@cache
def _keep_big_blocks() -> None:
    """Let malloc keep the memory of long values, which come in pairs: hiredis's and ours.

    glibc returns memory to the system by a limit that adapts to the largest block freed so far;
    below it, each value of 10 MB costs 8 ms of page faults. Nothing is touched, so this costs 10 us.
    """
    bytes(31 << 20)
