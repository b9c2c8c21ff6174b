"""Staged commands: what they need of their connection, their bytes, and what their replies become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from .exceptions import DataError
from .executor import EMPTY_RESPONSE, NEVER_DECODE, Executor
from .protocol import Packed, Packer, Word
from .traits import Traits, traits_of
from .transport.connection import split_name
from .transport.core import UNSET
from .transport.wire import in_turns

T = TypeVar("T")
Command = tuple[Sequence[Word], dict[str, Any]]

_MANY = 4096
_OWN_OPTIONS = frozenset(("keys", "multiplex", EMPTY_RESPONSE, NEVER_DECODE))  # not for callbacks
# After these, replies cannot be told from each other.
_UNPIPED = frozenset(
    (
        *("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"),
        *("MONITOR", "SYNC", "PSYNC", "QUIT", "HELLO"),
    )
)


class Needs(NamedTuple):
    """What commands that are sent together need of their connection."""

    traits: Traits  # of all: read-only if each is, and so on
    decode: bool  # replies while they are read
    seconds: float | None  # to wait for the replies; UNSET: `socket_timeout`
    plain: bool  # all names are of one word


def to_send(stack: Sequence[Command]) -> Sequence[Command]:
    """All but those that have no keys, and so no reply but an empty one."""
    for part in in_turns(_parts(stack)):
        if any(options and EMPTY_RESPONSE in options for _, options in part):
            return [command for command in stack if EMPTY_RESPONSE not in command[1]]
    return stack


def needs_of(commands: Sequence[Command], executor: Executor) -> Needs:
    """What these need. DataError, with its number, for a command that cannot be sent with others."""
    plans = executor._plans
    names: dict[Any, Sequence[Word]] = {}
    raw = False
    for part in in_turns(_parts(commands)):
        names.update((words[0], words) for words, _ in part)
        raw = raw or (executor._decodes and any(NEVER_DECODE in options for _, options in part))
    for words in names.values():
        executor._plan(words)
    odd = {name for name in names if name not in plans or not plans[name].traits.shareable}
    traits = [plans[name].traits for name in names if name not in odd]
    seconds = margin = executor.connection_pool.options["socket_timeout"]
    for number, (words, _) in enumerate(commands, 1) if odd else ():
        if words[0] in odd:
            traits.append(_odd_traits(split_name(words), number))
            block = traits[-1].block_seconds(split_name(words))
            if block is not None and seconds is not None:
                seconds = seconds + block if block else None
    together = Traits(
        read_only=all(each.read_only for each in traits),
        shareable=all(each.shareable for each in traits),
        state=any(each.state for each in traits),
    )
    return Needs(together, not raw, UNSET if seconds == margin else seconds, not odd)


def _odd_traits(words: Sequence[Word], number: int) -> Traits:
    traits = traits_of(words)
    name = (str(words[0], "latin-1") if isinstance(words[0], bytes) else str(words[0])).upper()
    if name in _UNPIPED or (traits.refused and name == "CLIENT"):
        raise DataError(f"command # {number} ({name}) cannot go into a pipeline: {traits.refused}")
    return traits


def pack_all(commands: Sequence[Command], needs: Needs, executor: Executor) -> Packed:
    """All as bytes, or as a list of pieces. A switch point where there are many."""
    packer = executor.connection_pool.packer
    pieces: list[bytes | memoryview] = []
    for part in in_turns(_parts(commands)):
        words = [command[0] for command in part]
        packed = packer.pack_many(words if needs.plain else map(split_name, words))
        try:
            pieces.append(b"".join(packed))  # type: ignore[arg-type]
        except TypeError:  # some are in pieces, for they are long
            for each in packed:
                pieces += (each,) if isinstance(each, bytes) else in_turns(each)
    return bytes(pieces[0]) if len(pieces) == 1 else pieces


def has_error(replies: Sequence[Any]) -> bool:
    """Whether any of the replies is one."""
    return any(any(isinstance(reply, Exception) for reply in part) for part in in_turns(_parts(replies)))


def let_go(replies: list[Any]) -> None:
    """Empty the list. A switch point where there are many: even freeing them takes time."""
    for size in in_turns(range(len(replies), 0, -_MANY)):
        del replies[max(0, size - _MANY) :]


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + 128] for start in range(0, len(items), 128))


def converted(
    commands: Sequence[Command], replies: Sequence[Any], executor: Executor, decoded: bool
) -> list[Any]:
    """The replies as the commands' callbacks give them. A switch point where there are many."""
    found: list[Any] = []
    plans = executor._plans
    both = zip(_parts(commands), _parts(replies), strict=True)
    for some, theirs in in_turns(both):
        for (words, options), reply in zip(some, theirs, strict=True):
            plan = plans.get(words[0])
            if plan is None or options or not decoded or isinstance(reply, Exception):
                reply = _converted_slowly(words, options, reply, executor, decoded)
            elif plan.callback is not None:
                reply = plan.callback(reply)
            found.append(reply)
    return found


def _converted_slowly(
    words: Sequence[Word], options: dict[str, Any], reply: Any, executor: Executor, decoded: bool
) -> Any:
    if isinstance(reply, Exception):
        return reply
    if not decoded and NEVER_DECODE not in options:
        reply = _decoded(reply, executor.connection_pool.packer)
    callback = executor._plan(words).callback
    if callback is None:
        return reply
    return callback(reply, **{name: value for name, value in options.items() if name not in _OWN_OPTIONS})


def _decoded(reply: Any, packer: Packer) -> Any:
    """The reply as it would have been decoded from the wire."""
    if isinstance(reply, list):
        return [_decoded(each, packer) for each in reply]
    if isinstance(reply, dict):
        return {_decoded(key, packer): _decoded(value, packer) for key, value in reply.items()}
    return packer.decode(reply)
