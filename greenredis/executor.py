"""Running commands on a transport: what is known of each, its reply's conversion, what is sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import gevent

from . import deadlines
from .commands import CoreCommands
from .commands.callbacks import Callbacks, Plan
from .driver_info import UNSET
from .exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    DataError,
    MasterNotFoundError,
    MaxConnectionsError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from .protocol import Packer, Word
from .retry import Retry
from .traits import Traits, traits_of
from .transport.connection import split_name
from .transport.pool import ConnectionPool

EMPTY_RESPONSE = "EMPTY_RESPONSE"
NEVER_DECODE = "NEVER_DECODE"
_PASSING = (TryAgainError, ClusterDownError)  # refused for now: wait and repeat
# Another attempt would fail as well, or all the time that there was has been waited for one.
_FINAL = (MaxConnectionsError, MasterNotFoundError, AuthenticationError, AuthorizationError)
_WAIT_CHANNEL = b"greenredis:wait"


class Executor(CoreCommands):
    """The commands of a pool's server, run one at a time over a transport."""

    _is_single = False  # the transport is one connection, whose state is the caller's business
    connection: Any = None

    def _attach(self, pool: ConnectionPool, callbacks: Callbacks, transport: Any) -> None:
        self.connection_pool = pool
        self.response_callbacks = callbacks
        self._plans = callbacks.plans
        self._transport: Any = transport
        options = pool.options if pool.is_native else {}
        self._resend: str = options.get("resend", "safe")
        self._decodes: bool = options.get("decode_responses", False)
        kind = type(self)
        self._by_hand = pool.sees_replies or kind.parse_response is not kind._own_parse_response

    def execute_command(self, *words: Word, **options: Any) -> Any:
        """The converted reply to any command, known or not: `execute_command("SET", "key", 1)`.

        Raises ResponseError for an error reply; ConnectionError or TimeoutError, whose
        `maybe_executed` tells whether the command was sent.
        """
        plan = self._plans.get(words[0]) if words else None
        if plan is None or options or self._by_hand:
            return self._execute_slowly(words, options)
        try:
            reply = self._transport.execute(words, plan.traits)
        except RedisError as error:
            reply = error
        if isinstance(reply, Exception):
            reply = self._repeat(reply, partial(self._transport.execute, words, plan.traits), plan.traits)
        callback = plan.callback
        return reply if callback is None else callback(reply)

    def _execute_slowly(self, words: Sequence[Word], options: dict[str, Any]) -> Any:
        """As `execute_command`, for options, first uses and whatever is not plain."""
        if not words:
            raise DataError("a command needs at least its name")
        shared = options.pop("multiplex", True) and not (NEVER_DECODE in options and self._decodes)
        options.pop("keys", None)  # for redis-py's cache
        plan = self._plan(words)
        sent = words if len(plan.name) == 1 else (*plan.name, *words[1:])
        traits = plan.traits if plan.traits.is_fixed else traits_of(sent)
        if traits.refused and not self._is_single:
            raise DataError(
                f"{_shown(sent, traits)} cannot go to a connection that others use: {traits.refused}"
            )
        if self._by_hand:
            return self._complete(lambda: self._execute_by_hand(sent, words[0], traits, options), traits)
        transport = self._transport if shared or self.connection else self.connection_pool
        decode = options.pop(NEVER_DECODE, UNSET) is UNSET
        empty = options.pop(EMPTY_RESPONSE, UNSET)
        if sent[0] in ("WAIT", b"WAIT") and not self._is_single:
            reply = self._complete(lambda: self._wait_for_replicas(sent), traits)
        else:
            try:
                reply = self._complete(lambda: transport.execute(sent, traits, decode), traits)
            except ResponseError:
                if empty is UNSET:
                    raise
                return empty
        return reply if plan.callback is None else plan.callback(reply, **options)

    def _plan(self, words: Sequence[Word]) -> Plan:
        name = words[0]
        plan = self._plans.get(name) if isinstance(name, (str, bytes)) else None
        if plan is None:
            text = str(name, "utf-8", "replace") if isinstance(name, (bytes, bytearray)) else str(name)
            parts = split_name((name,))
            traits = traits_of(words if len(parts) == 1 else (*parts, *words[1:]))
            plan = Plan(traits, self.response_callbacks.get(text), tuple(parts))
            plain = len(parts) == 1 and not traits.refused and traits.is_fixed and len(self._plans) < 1000
            if plain and isinstance(name, (str, bytes)) and text.upper() != "WAIT":
                self._plans[name] = plan
        return plan

    def _complete(self, attempt: Callable[[], Any], traits: Traits) -> Any:
        try:
            reply = attempt()
        except RedisError as error:
            return self._repeat(error, attempt, traits)
        return self._repeat(reply, attempt, traits) if isinstance(reply, Exception) else reply

    def _repeat(self, error: Exception, attempt: Callable[[], Any], traits: Traits) -> Any:
        """What a later attempt gives; raises the last error when there may be no other."""
        policy, locator = self.connection_pool.retry, self.connection_pool.locator
        failures, maybe = 0, False
        policy.reset()
        while True:
            failures += 1
            if isinstance(error, RedisError):
                maybe = error.maybe_executed = maybe or error.maybe_executed  # in any attempt
                if error.address is not None:
                    locator.failed(error.address, error)  # type: ignore[arg-type]
            if not self._may_repeat(error, traits, policy, failures):
                raise locator.explained(error)
            self._back_off(policy.backoff_seconds(failures), error)
            try:
                reply = attempt()
            except RedisError as again:
                error = again
                continue
            if not isinstance(reply, Exception):
                return reply
            error = reply

    def _may_repeat(self, error: Exception, traits: Traits, policy: Retry, failures: int) -> bool:
        if not policy.allows(failures) or not isinstance(error, (*policy.supported_errors, *_PASSING)):
            return False
        if isinstance(error, _FINAL):
            return False
        if getattr(error, "maybe_executed", False):
            return self._resend == "always" or (self._resend == "safe" and traits.read_only)
        return True

    def _back_off(self, seconds: float, error: Exception) -> None:
        until = deadlines.current()
        if until is not None and monotonic() + seconds >= until:
            raise self.connection_pool.locator.explained(error)
        gevent.sleep(seconds)

    def _wait_for_replicas(self, words: Sequence[Word]) -> Any:
        """WAIT counts its own connection's writes: send one first, which does nothing."""
        pack = self.connection_pool.packer.pack_whole
        packed = pack(("PUBLISH", _WAIT_CHANNEL, b"")) + pack(words)
        seconds = self.connection_pool.block_time(words, traits_of(words))
        with self.connection_pool.lend() as connection:
            published, reply = connection.execute_many(packed, 2, seconds)
        if isinstance(published, NoPermissionError):
            raise NoPermissionError(f"WAIT needs the right to PUBLISH to greenredis:wait: {published}")
        return published if isinstance(published, Exception) else reply

    def _execute_by_hand(
        self, words: Sequence[Word], name: Word, traits: Traits, options: dict[str, Any]
    ) -> Any:
        """For subclasses that parse replies themselves, and connections of the user's own class."""
        with self._transport.lend() as connection:
            done = False
            try:
                if traits.state:
                    connection.tainted = True
                    if connection is self.connection:
                        self._transport.note(words)
                connection.send_command(*words)
                reply = self.parse_response(connection, name, **options)  # type: ignore[arg-type]
                done = True
                return reply
            except ResponseError:
                done = True
                raise
            finally:
                if not done:
                    connection.disconnect()

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """The converted reply that `connection` reads next. A subclass that overrides it sees every reply."""
        try:
            reply = connection.read_response(disable_decoding=options.pop(NEVER_DECODE, UNSET) is not UNSET)
        except ResponseError:
            if EMPTY_RESPONSE in options:
                return options[EMPTY_RESPONSE]
            raise
        for name in (EMPTY_RESPONSE, "keys"):
            options.pop(name, None)
        callback = self.response_callbacks.get(command_name)
        return reply if callback is None else callback(reply, **options)

    _own_parse_response = parse_response

    # -- settings

    def get_encoder(self) -> Packer:
        """What encodes words and decodes replies."""
        return self.connection_pool.get_encoder()

    def get_connection_kwargs(self) -> dict[str, Any]:
        """The options of the pool's connections."""
        return self.connection_pool.connection_kwargs

    def get_retry(self) -> Retry:
        """The policy of repeated attempts."""
        return self.connection_pool.retry

    def set_retry(self, retry: Retry) -> None:
        """Use `retry` from now on, for all clients of this pool."""
        self.connection_pool.set_retry(retry)

    def set_response_callback(self, command: str, callback: Callable[..., Any]) -> None:
        """Convert replies to `command` with `callback(reply, **options)`."""
        self.response_callbacks[command] = callback

    def load_external_module(self, funcname: str, func: Any) -> None:
        """Make `func` an attribute of this client."""
        setattr(self, funcname, func)


def _shown(words: Sequence[Word], traits: Traits) -> str:
    """The command's name, of one word or two."""
    shown = words[: 1 if traits.is_fixed else 2]
    return " ".join(str(word, "utf-8", "replace") if isinstance(word, bytes) else str(word) for word in shown)
