"""Publish and subscribe: messages of channels, patterns and shard channels, over lost connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

import gevent
from gevent.event import Event

from .exceptions import ConnectionError, PubSubError, TimeoutError
from .protocol import Push, Word
from .pubsub_connection import LastingConnection, left, nearer, raise_at_deadline
from .pubsub_health import Health
from .pubsub_messages import Handler, Subscription, as_message, names, pong, subscriptions
from .pubsub_worker import PubSubWorkerThread, demand_handlers

P = TypeVar("P", bound="PubSub")
_MANY = 1000  # names in one command
_GAP_MESSAGE = "greenredis-gap"
_NO_CONNECTION = "pubsub connection not set: did you forget to call subscribe() or psubscribe()?"


class PubSub:
    """Subscriptions on a connection of its own, which the first one takes from the pool, until `close()`.

    Any number of greenlets may subscribe, unsubscribe and ping while one listens; of several that
    read, each message goes to one.  A greenlet that is killed or timed out while it waits loses no message.

    A lost connection is opened again as the pool's `retry` says, for whoever reads or subscribes,
    and subscribed to all again; when no attempt is left, that caller gets the error, and the next
    call begins anew.  What was published in between is lost, as Redis has it: `reconnects` counts
    such gaps, and `on_gap(pubsub)`, if it is set, is called by the reading greenlet once the
    subscriptions are in force again.

    With `health_check_interval`, a reader sends PING when nothing came for so long, and the connection
    counts as lost when it is not answered within `socket_timeout` (or the interval).  Without it (0,
    the default) a server that falls silent is found by TCP keepalive only.

    It belongs to the thread that subscribes first.  After a fork, the copy of a greenlet that listens
    goes on in the child, on a connection of its own.
    """

    PUBLISH_MESSAGE_TYPES = ("message", "pmessage", "smessage")
    UNSUBSCRIBE_MESSAGE_TYPES = ("unsubscribe", "punsubscribe", "sunsubscribe")
    HEALTH_CHECK_MESSAGE = "greenredis-health-check"
    on_gap: Callable[[Any], Any] | None = None

    channels: dict[Any, Handler | None]
    patterns: dict[Any, Handler | None]
    shard_channels: dict[Any, Handler | None]

    def __init__(
        self,
        connection_pool: Any,
        shard_hint: Any = None,
        ignore_subscribe_messages: bool = False,
        encoder: Any = None,
        push_handler_func: Callable[[Any], Any] | None = None,
        event_dispatcher: Any = None,
    ) -> None:
        if event_dispatcher is not None:
            raise ValueError("event_dispatcher: redis-py's events are not supported; leave it out")
        self.connection_pool = connection_pool
        self.shard_hint = shard_hint
        self.ignore_subscribe_messages = ignore_subscribe_messages
        self.encoder = connection_pool.get_encoder() if encoder is None else encoder
        self.push_handler_func = push_handler_func
        self.subscribed_event = Event()
        self.reconnects = 0
        self.health_check_response_b = self.encoder.encode(self.HEALTH_CHECK_MESSAGE)
        self.health_check_response = pong(self.encoder, self.HEALTH_CHECK_MESSAGE)
        self._gap_response = pong(self.encoder, _GAP_MESSAGE)
        self._internal_replies = 0
        self._health = Health()
        self._line = LastingConnection(connection_pool, self.on_connect, self._connected_again)
        self.reset()

    def __repr__(self) -> str:
        counts = f"{len(self.channels)} channels, {len(self.patterns)} patterns"
        shards = f", {len(self.shard_channels)} shard channels" if self.shard_channels else ""
        return f"<{type(self).__name__} {self.connection_pool.where()} {counts}{shards}>"

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()

    @property
    def connection(self) -> Any:
        """The connection lent by the pool; None before the first subscription."""
        return self._line.connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._line.hold(connection)

    def reset(self) -> None:
        """End all subscriptions: close the connection and give its slot back. It can be used again."""
        self._line.close()
        self.health_check_response_counter = 0
        self.channels, self.patterns, self.shard_channels = {}, {}, {}
        self.pending_unsubscribe_channels: set[Any] = set()
        self.pending_unsubscribe_patterns: set[Any] = set()
        self.pending_unsubscribe_shard_channels: set[Any] = set()
        self.subscribed_event.clear()

    def close(self) -> None:
        """As `reset`."""
        self.reset()

    @property
    def subscribed(self) -> bool:
        """Whether there is any subscription."""
        return self.subscribed_event.is_set()

    # -- subscribing

    def subscribe(self, *args: Any, **kwargs: Handler | None) -> None:
        """Subscribe to channels: names, `Subscription`s, or keywords with a handler.

        The confirmation comes as a message.  A message of a channel with a handler is given to that,
        and not returned by `get_message` or `listen`.
        """
        self._subscribe("SUBSCRIBE", "channels", args, kwargs)

    def psubscribe(self, *args: Any, **kwargs: Handler | None) -> None:
        """Subscribe to patterns, as `subscribe` to channels."""
        self._subscribe("PSUBSCRIBE", "patterns", args, kwargs)

    def ssubscribe(self, *args: Any, target_node: Any = None, **kwargs: Handler | None) -> None:
        """Subscribe to shard channels, as `subscribe` to channels. `target_node` is for a cluster's."""
        self._subscribe("SSUBSCRIBE", "shard_channels", args, kwargs)

    def unsubscribe(self, *args: Any) -> None:
        """End the subscription to these channels, or to all; it ends when the confirmation is read."""
        self._unsubscribe("UNSUBSCRIBE", "channels", args)

    def punsubscribe(self, *args: Any) -> None:
        """As `unsubscribe`, for patterns."""
        self._unsubscribe("PUNSUBSCRIBE", "patterns", args)

    def sunsubscribe(self, *args: Any, target_node: Any = None) -> None:
        """As `unsubscribe`, for shard channels."""
        self._unsubscribe("SUNSUBSCRIBE", "shard_channels", args)

    def _subscribe(self, command: str, kind: str, args: Any, kwargs: Mapping[str, Any]) -> None:
        new = subscriptions(args, kwargs)
        self.execute_command(command, *new)
        # Not before it is sent: a connection opened for it would subscribe to them twice.
        new = self._normalize_keys(new)
        getattr(self, kind).update(new)
        self._pending(kind).difference_update(new)
        if not self.subscribed:
            self.health_check_response_counter = 0
            self.subscribed_event.set()

    def _unsubscribe(self, command: str, kind: str, args: Any) -> None:
        self.execute_command(command, *(given := names(args)))
        self._pending(kind).update(
            self._normalize_keys(dict.fromkeys(given)) if args else getattr(self, kind)
        )

    def _pending(self, kind: str) -> set[Any]:
        found: set[Any] = getattr(self, f"pending_unsubscribe_{kind}")
        return found

    def _normalize_keys(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """The names as replies have them, bytes or str."""
        encode, decode = self.encoder.encode, self.encoder.decode
        return {decode(encode(name)): value for name, value in data.items()}

    def on_connect(self, connection: Any) -> None:
        """Subscribe to all again, after the connection was opened again.

        What was to be unsubscribed is unsubscribed once more, so that its confirmation comes.
        """
        self._resume("channels", self.subscribe, self.unsubscribe)
        self._resume("patterns", self.psubscribe, self.punsubscribe)
        self._resume("shard_channels", self.ssubscribe, self.sunsubscribe)

    def _resume(self, kind: str, subscribe: Callable[..., None], unsubscribe: Callable[..., None]) -> None:
        leaving = self._pending(kind).intersection(getattr(self, kind))
        staying = [
            name if handler is None else Subscription(name, handler)
            for name, handler in getattr(self, kind).items()
            if name not in leaving
        ]
        for start in range(0, len(staying), _MANY):
            if start:
                gevent.sleep(0)  # packing many names takes its time
            subscribe(*staying[start : start + _MANY])
        if leaving:
            unsubscribe(*leaving)

    def _connected_again(self, connection: Any) -> None:
        self.reconnects += 1
        self.health_check_response_counter = 0
        if self.on_gap is not None:
            # Its answer comes after the server has done the commands before it.
            self._line.send("PING", _GAP_MESSAGE)

    def execute_command(self, *args: Word) -> None:
        """Write a command; its reply comes as a message.

        Opens the connection if need be; raises what that raised, and TimeoutError at the deadline.
        """
        self._line.send(*args)

    def ping(self, message: str | None = None) -> None:
        """Send a PING; the answer comes as a message of type `pong`."""
        self.execute_command("PING") if message is None else self.execute_command("PING", message)

    # -- reading

    def listen(self) -> Iterator[dict[str, Any]]:
        """Messages as they come, until there is no subscription left."""
        while self.subscribed:
            response = self.handle_message(self.parse_response(block=True))
            if response is not None:
                yield response

    def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> Any:
        """The next message; None after `timeout` seconds (None: never), or if it went to a handler.

        Without a subscription it waits for one.  While the connection is being opened again, None comes
        after `timeout`, too.  Raises TimeoutError at the greenlet's deadline, if that is nearer.
        """
        until = None if timeout is None else monotonic() + timeout
        if not self._wait_for_subscription(until):
            return None
        while True:
            internal = self._internal_replies
            response = self.parse_response(block=until is None, timeout=left(until) or 0)
            if response:
                return self.handle_message(response, ignore_subscribe_messages)
            if internal == self._internal_replies or left(until) == 0 or not self.subscribed:
                return None

    get_sharded_message = get_message

    def _wait_for_subscription(self, until: float | None) -> bool:
        if self.subscribed:
            return True
        end = nearer(until)
        self.subscribed_event.wait(left(end))
        if not self.subscribed:
            raise_at_deadline(until, end)
        return self.subscribed

    def parse_response(self, block: bool = True, timeout: float | None = 0) -> Any:
        """The next reply as it came; None after `timeout` seconds if not `block`, or for an answer to an
        own PING."""
        if self.connection is None:
            raise RuntimeError(_NO_CONNECTION)
        until = None if block or timeout is None else monotonic() + timeout
        reply = self._next(until)
        if reply.__class__ is Push and self.push_handler_func is not None:
            return self.push_handler_func(reply)
        if reply is None or not self._is_internal(reply):
            return reply
        self._internal_replies += 1
        return None

    def _is_internal(self, reply: Any) -> bool:
        """Whether it answers what was sent here, or is about client-side caching; acts on it."""
        if self.is_health_check_response(reply):
            self._answered()
        elif reply in (self._gap_response, self._gap_response[1]):
            if self.on_gap is not None:
                self.on_gap(self)
        else:
            return reply.__class__ is Push and reply[0] in (b"invalidate", "invalidate")
        return True

    def _next(self, until: float | None) -> Any:
        """The next reply; None at `until`, or when the connection was given back."""
        end, reply = nearer(until), None
        reading = self._line.reading
        if reading.acquire(timeout=left(end)):
            try:
                reply = self._read(end)
            finally:
                reading.release()
        if reply is None:
            raise_at_deadline(until, end)
        return reply

    def _read(self, until: float | None) -> Any:
        line = self._line
        while True:
            connection = line.live(until)
            if connection is None:
                return None
            self.check_health()
            now = monotonic()
            overdue = now >= self._health.due(connection)
            seconds = self._health.patience(connection, now, until)
            try:
                reply = connection.read_response(
                    disconnect_on_error=False, push_request=True, timeout=seconds
                )
            except TimeoutError as error:
                if overdue:
                    line.lost(connection, TimeoutError(f"{error}: it did not answer a PING"))
            except ConnectionError as error:
                line.lost(connection, error)
            else:
                line.works()
                return reply
            if left(until) == 0:
                return None

    # -- health

    def check_health(self) -> None:
        """Send a PING if nothing was read for `health_check_interval` seconds. Its answer is no message."""
        connection = self.connection
        if connection is None:
            raise RuntimeError(_NO_CONNECTION)
        now = monotonic()
        if self._health.is_ping_due(connection, now):
            connection.next_health_check = now + connection.health_check_interval
            if self._line.send_now("PING", self.HEALTH_CHECK_MESSAGE):
                self.health_check_response_counter += 1
                self._health.asked(connection, now)

    def _answered(self) -> None:
        self.health_check_response_counter = max(0, self.health_check_response_counter - 1)
        self._health.answered()

    def is_health_check_response(self, response: Any) -> bool:
        """Whether it answers a PING of `check_health`; without a subscription that is no list."""
        return response in (self.health_check_response, self.health_check_response[1])

    def clean_health_check_responses(self) -> None:
        """Read the answers to PINGs that have come; PubSubError for anything else."""
        while self.connection is not None and self.health_check_response_counter > 0:
            reply = self._next(monotonic())
            if reply is None:
                return
            if not self.is_health_check_response(reply):
                raise PubSubError(f"a reply that answers no PING was read: {reply!r}")
            self._answered()

    # -- messages

    def handle_message(self, response: Any, ignore_subscribe_messages: bool = False) -> Any:
        """The message of a reply, as a dict; None if its handler took it, or it is to be ignored."""
        if response is None:
            return None
        message = as_message(response)
        kind = message["type"]
        if kind in self.UNSUBSCRIBE_MESSAGE_TYPES:
            self._forget(_KINDS[kind[0]], response[1])
        if kind in self.PUBLISH_MESSAGE_TYPES:
            handler = getattr(self, _KINDS[kind[0]]).get(response[1])
            if handler:
                handler(message)
                return None
        elif kind != "pong" and (ignore_subscribe_messages or self.ignore_subscribe_messages):
            return None
        return message

    def _forget(self, kind: str, name: Any) -> None:
        pending = self._pending(kind)
        if name in pending:
            pending.remove(name)
            getattr(self, kind).pop(name, None)
        if not self.channels and not self.patterns and not self.shard_channels:
            self.subscribed_event.clear()

    def run_in_thread(
        self,
        sleep_time: float = 0.0,
        daemon: bool = False,
        exception_handler: Callable[..., Any] | None = None,
        pubsub: Any = None,
        sharded_pubsub: bool = False,
    ) -> PubSubWorkerThread:
        """A started worker, a greenlet, that hands messages to handlers until its `stop()`.

        PubSubError where a subscription has no handler.
        """
        demand_handlers(self)
        worker = PubSubWorkerThread(pubsub or self, sleep_time, daemon, exception_handler, sharded_pubsub)
        worker.start()
        return worker


# By the first letter of a message's type: (p)(s)message, (p)(s)unsubscribe.
_KINDS = {"m": "channels", "u": "channels", "p": "patterns", "s": "shard_channels"}
