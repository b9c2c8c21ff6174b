"""Pipelines and transactions: commands that are sent together."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from .commands.callbacks import Callbacks
from .exceptions import (
    REFUSED,
    ConnectionError,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)
from .executor import EMPTY_RESPONSE, NEVER_DECODE, Executor
from .protocol import Word
from .staged import Command, Needs, converted, has_error, let_go, needs_of, pack_all, to_send
from .traits import Traits, traits_of
from .transport.connection import split_name
from .transport.pool import ConnectionPool

P = TypeVar("P", bound="BasePipeline")

_WATCHING = frozenset(("WATCH", "UNWATCH", "MULTI", "EXEC", "DISCARD"))


class BasePipeline(Executor):
    """Commands are kept until `execute()`, which sends them together and returns their replies in order.

    With `transaction` they are executed as one, between MULTI and EXEC.  After `watch()` commands are
    executed at once, until `multi()`; `execute()` then raises WatchError if a watched key has changed.
    A pipeline belongs to one greenlet at a time.
    """

    _stages_itself = False  # a subclass overrides pipeline_execute_command
    UNWATCH_COMMANDS: ClassVar[set[str]] = {"DISCARD", "EXEC", "UNWATCH"}

    def __init__(
        self,
        connection_pool: ConnectionPool,
        response_callbacks: Mapping[str, Callable[..., Any]],
        transaction: bool | None,
        shard_hint: str | None,
    ) -> None:
        known = isinstance(response_callbacks, Callbacks)
        callbacks: Any = response_callbacks if known else Callbacks(response_callbacks)
        pool = connection_pool
        self._attach(pool, callbacks, pool.multiplexer if pool.can_share else pool)
        self.connection: Any = None
        self.transaction = transaction
        self.shard_hint = shard_hint
        self.watching = False
        self.command_stack: list[Command] = []
        self.scripts: set[Any] = set()
        self.explicit_transaction = False
        self._changed = False  # the connection's state, by more than WATCH

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._stages_itself = cls.pipeline_execute_command is not BasePipeline.pipeline_execute_command

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()

    def __del__(self) -> None:
        connection = getattr(self, "connection", None)
        if connection is not None:
            self.connection_pool.abandon(connection)

    def __repr__(self) -> str:
        state = f"{len(self.command_stack)} staged{', watching' if self.watching else ''}"
        return f"<{type(self).__module__}.{type(self).__qualname__}({self.connection_pool!r}) {state}>"

    def __len__(self) -> int:
        return len(self.command_stack)

    def __bool__(self) -> bool:
        return True

    # -- staging

    def execute_command(self, *words: Word, **options: Any) -> Any:
        """The pipeline, with the command staged; while keys are watched, the command's reply."""
        if (self.watching or words[0] == "WATCH") and not self.explicit_transaction:
            return self.immediate_execute_command(*words, **options)
        if self._stages_itself:
            return self.pipeline_execute_command(*words, **options)
        self.command_stack.append((words, options))
        return self

    def pipeline_execute_command(self: P, *words: Word, **options: Any) -> P:
        """The pipeline, with the command staged for `execute()`."""
        self.command_stack.append((words, options))
        return self

    def multi(self) -> None:
        """Stage what follows, after WATCH and the commands that looked at what is watched."""
        if self.explicit_transaction:
            raise RedisError("Cannot issue nested calls to MULTI")
        if self.command_stack:
            raise RedisError("Commands without an initial WATCH have already been issued")
        self.explicit_transaction = True

    def discard(self) -> None:
        """Stage DISCARD, or after WATCH send it."""
        self.execute_command("DISCARD")

    def watch(self, *names: Any) -> Any:
        """True; `execute()` fails if one of the keys changes before."""
        if self.explicit_transaction:
            raise RedisError("Cannot issue a WATCH after a MULTI")
        return self.execute_command("WATCH", *names)

    def unwatch(self) -> bool:  # type: ignore[override]
        """True; no key is watched any more."""
        return (self.watching and self.execute_command("UNWATCH")) or True

    # -- executing

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies to all staged commands, in order; the pipeline is then empty.

        Raises the first error reply, after all commands have been executed; with `raise_on_error`
        False errors are among the replies.  WatchError if a watched key has changed, or if the
        connection that watched was lost before anything was executed.  ConnectionError and
        TimeoutError say by `maybe_executed` whether any command may have been executed.
        """
        stack = self.command_stack
        if not stack and not self.watching:
            return []
        try:
            if self.scripts:
                self.load_scripts()
            return self._execute(stack, raise_on_error)
        finally:
            self.reset()

    def _execute(self, stack: list[Command], raise_on_error: bool) -> list[Any]:
        if not self.watching:
            self._give_back()
        sent = to_send(stack)
        needs = needs_of(sent, self)
        transacted = bool(self.transaction or self.explicit_transaction)
        refused: list[Any] = []
        attempt = partial(self._attempt, sent, needs, transacted, refused)
        run = self._while_watching if self.watching else self._complete
        try:
            replies: list[Any] = run(attempt, needs.traits)
        except REFUSED:
            if not refused:
                raise
            replies = refused
        if len(sent) < len(stack):
            rest = iter(replies)
            replies = [c[1][EMPTY_RESPONSE] if EMPTY_RESPONSE in c[1] else next(rest) for c in stack]
        if raise_on_error and has_error(replies):
            self.raise_first_error(stack, replies)
        if self._by_hand and not transacted:
            return replies
        return converted(stack, replies, self, needs.decode)

    def _attempt(
        self, commands: Sequence[Command], needs: Needs, transacted: bool, refused: list[Any]
    ) -> Any:
        """The replies of one attempt; if all commands were refused an error, and the replies in `refused`."""
        if transacted:
            block = [(("MULTI",), {}), *commands, (("EXEC",), {})]
            return self._outcome(commands, self._send(block, needs, transacted))
        replies = self._send(commands, needs, transacted) if commands else []
        if replies and all(isinstance(each, REFUSED) for each in replies):
            refused[:] = replies
            return replies[0]
        return replies

    def _send(self, commands: Sequence[Command], needs: Needs, transacted: bool) -> list[Any]:
        if self._by_hand:
            return self._send_by_hand(commands, needs, transacted)
        packed, traits, count = pack_all(commands, needs, self), needs.traits, len(commands)
        if self.connection is not None:
            replies = self.connection.execute_many(packed, count, needs.seconds, needs.decode)
        elif traits.shareable and needs.decode:
            replies = self._transport.execute_many(packed, count)
        else:
            pool = self.connection_pool
            replies = pool.execute_many(packed, count, needs.seconds, needs.decode, traits.state)
        return replies  # type: ignore[no-any-return]

    def _outcome(self, commands: Sequence[Command], replies: list[Any]) -> Any:
        """The replies in EXEC's, or the error for which there is none."""
        self.watching = False
        outcome = replies.pop()
        if isinstance(outcome, Exception):
            return self._failure(commands, replies, outcome)
        let_go(replies)
        if outcome is None:
            raise WatchError("Watched variable changed.")
        if len(outcome) != len(commands):
            raise ResponseError("Wrong number of response items from pipeline execution")
        return outcome

    def _failure(self, commands: Sequence[Command], replies: list[Any], outcome: Exception) -> Exception:
        """The first error, raised unless another attempt may do."""
        errors = ((number, each) for number, each in enumerate(replies) if isinstance(each, Exception))
        number, first = next(errors, (-1, outcome))
        if isinstance(first, REFUSED):
            return first
        if number > 0:
            self.annotate_exception(first, number, commands[number - 1][0])
        elif number == 0 and isinstance(first, RedisError):
            first.maybe_executed = True  # without MULTI, the commands were executed one by one
        raise first

    def _send_by_hand(self, commands: Sequence[Command], needs: Needs, transacted: bool) -> list[Any]:
        """For subclasses that parse replies themselves, and connections of the user's own class."""
        connection, own = self.connection, self.connection is None
        if connection is None:
            connection = self.connection_pool.get_connection()
        done = False
        try:
            connection.tainted = connection.tainted or needs.traits.state
            connection.send_packed_command(connection.pack_commands([words for words, _ in commands]))
            raw = {} if needs.decode else {NEVER_DECODE: True}
            replies = [self._parsed(connection, *each, raw if transacted else None) for each in commands]
            done = True
            return replies
        finally:
            if not done:
                connection.disconnect()
            if own:
                self.connection_pool.release(connection)

    def _parsed(
        self, connection: Any, words: Sequence[Word], options: dict[str, Any], raw: dict[str, Any] | None
    ) -> Any:
        """The next reply, or the error; `raw`: options for one of a transaction, which only EXEC converts."""
        try:
            if raw is not None:
                return self.parse_response(connection, "_", **raw)
            return self.parse_response(connection, words[0], **options)  # type: ignore[arg-type]
        except ResponseError as error:
            return error

    # -- watching

    def immediate_execute_command(self, *words: Word, **options: Any) -> Any:
        """The reply, at once, on the connection that watches.

        WatchError if that connection was lost and nothing that matters was executed; the pipeline is
        then reset, and the transaction can begin again.
        """
        options.pop("multiplex", None)
        traits = traits_of(split_name(words))
        if words[0] == "WATCH":  # which ends with its connection
            traits = traits._replace(read_only=True)
        attempt = partial(self._ask, words, traits, options)
        if self.watching:
            return self._while_watching(attempt, traits)
        return self._complete(attempt, traits)

    def _ask(self, words: Sequence[Word], traits: Traits, options: dict[str, Any]) -> Any:
        if self.connection is None:
            self.connection = self.connection_pool.get_connection()
        done = False
        try:
            if traits.state and str(words[0]).upper() not in _WATCHING:
                self._changed = True
            self.connection.send_command(*words)
            reply = self.parse_response(self.connection, words[0], **options)  # type: ignore[arg-type]
            done = True
            return reply
        except ResponseError:
            done = True
            raise
        finally:
            if not done:
                self.connection.disconnect()
                if not self.watching:
                    self._give_back()

    def _while_watching(self, attempt: Callable[[], Any], traits: Traits) -> Any:
        """What the only attempt gives: what was watched does not outlive its connection."""
        if not self.connection.is_connected:
            self.reset()
            raise WatchError("the connection was lost while watching one or more keys")
        try:
            outcome = attempt()
        except (ConnectionError, TimeoutError) as error:
            self.reset()
            if error.maybe_executed and not traits.read_only:
                raise
            raise WatchError(f"A {type(error).__name__} occurred while watching one or more keys") from error
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """As a client's; WATCH, UNWATCH, EXEC and DISCARD change whether the pipeline is watching."""
        reply = super().parse_response(connection, command_name, **options)
        if command_name in self.UNWATCH_COMMANDS:
            self.watching = False
        elif command_name == "WATCH":
            self.watching = True
        return reply

    _own_parse_response = parse_response

    # -- the end

    def reset(self) -> None:
        """Forget what was staged and what is watched; a switch point if anything is.

        The connection goes back to the pool.
        """
        self.command_stack = []
        self.scripts = set()
        self.explicit_transaction = False
        connection = self.connection
        try:
            if self.watching and connection is not None and connection.is_connected and not connection.owed:
                connection.send_command("UNWATCH")
                connection.read_response()
                self.watching = False
        except RedisError:
            connection.disconnect()
        finally:
            self._give_back()
            self.watching = False

    def close(self) -> None:
        """As `reset`."""
        self.reset()

    def _give_back(self) -> None:
        """Nothing here switches greenlets."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.tainted = self.watching or self._changed
            self._changed = False
            self.connection_pool.release(connection)

    # -- errors and scripts

    def raise_first_error(self, commands: Sequence[Command], response: Sequence[Any]) -> None:
        """Raise the first error among the replies, with the command that it belongs to."""
        for number, (command, reply) in enumerate(zip(commands, response, strict=True), 1):
            if isinstance(reply, RedisError):
                self.annotate_exception(reply, number, command[0])
            if isinstance(reply, Exception):
                raise reply

    def annotate_exception(self, exception: Exception, number: int, command: Sequence[Word]) -> None:
        """Say in the error's message which command it belongs to."""
        words = (str(word, "utf-8", "replace") if isinstance(word, bytes) else str(word) for word in command)
        shown = textwrap.shorten(" ".join(words), 100, placeholder="...")
        message = f"Command # {number} ({shown}) of pipeline caused error: {exception.args[0]}"
        exception.args = (message, *exception.args[1:])

    def load_scripts(self) -> None:
        """Load those of the staged scripts that the server does not have."""
        scripts = list(self.scripts)
        exist = Executor.execute_command(self, "SCRIPT EXISTS", *(script.sha for script in scripts))
        for script, exists in zip(scripts, exist, strict=True):
            if not exists:
                script.sha = Executor.execute_command(self, "SCRIPT LOAD", script.script)
