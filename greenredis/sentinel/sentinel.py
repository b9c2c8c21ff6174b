"""Sentinel: the masters and replicas that a group of sentinels watches over."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.hub import get_hub

from .. import deadlines
from ..client import Redis
from ..commands.topology import SentinelCommands
from ..exceptions import ConnectionError, MasterNotFoundError, RedisError, ResponseError, TimeoutError
from .events import Switches
from .pool import SentinelConnectionPool
from .watch import Watch

if TYPE_CHECKING:
    from .view import Place

S = TypeVar("S", bound="Sentinel")

CONNECT_TIMEOUT = 0.3  # seconds for connecting to a sentinel
TIMEOUT = 1.0  # seconds for its answer


class Sentinel(SentinelCommands):
    """Clients for the masters and replicas that these sentinels watch over, with redis-py's API.

    `sentinels`: (host, port) of some of them; the others are found.  `min_other_sentinels`: a
    sentinel that sees fewer others is not believed.  `sentinel_kwargs`: the options of connections
    to sentinels (password, TLS ...), by default the `socket_` ones among the rest; connecting to
    one takes 0.3 s and its answer 1 s at most, unless these say otherwise.  `force_master_ip`
    replaces the masters' announced IP address.  `address_remap`: a function of (host, port), or a
    mapping, that translates each address that a sentinel announces.  The rest are options of the
    clients made here.
    """

    def __init__(
        self,
        sentinels: Iterable[Place],
        min_other_sentinels: int = 0,
        sentinel_kwargs: Mapping[str, Any] | None = None,
        force_master_ip: str | None = None,
        *,
        address_remap: Callable[[Place], Place] | Mapping[Place, Place] | None = None,
        **connection_kwargs: Any,
    ) -> None:
        if sentinel_kwargs is None:
            sentinel_kwargs = {
                name: value for name, value in connection_kwargs.items() if name.startswith("socket_")
            }
        self.sentinel_kwargs = dict(sentinel_kwargs)
        self.min_other_sentinels = min_other_sentinels
        self.connection_kwargs = connection_kwargs
        self._force_master_ip = force_master_ip
        self._address_remap = address_remap
        self._places = [_place(each) for each in sentinels]
        if not self._places:
            raise ValueError("Sentinel() needs the (host, port) of at least one sentinel")
        self.sentinels = [self.client_of(place) for place in self._places]
        self._watches: weakref.WeakValueDictionary[tuple[Any, str], Watch] = weakref.WeakValueDictionary()

    def __repr__(self) -> str:
        places = ",".join(f"{host}:{port}" for host, port in self._places)
        return f"<{type(self).__module__}.{type(self).__name__}(sentinels=[{places}])>"

    # -- where it all is

    def client_of(self, place: Place) -> Redis:
        """A client of the sentinel there; it asks once, and on no shared connection."""
        options: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": TIMEOUT,
            "retry": None,
            "multiplex": False,
            **self.sentinel_kwargs,
        }
        return Redis(*place, **options)

    def seeds(self) -> list[tuple[Place, Redis]]:
        """The given sentinels, each with a new client."""
        return [(place, self.client_of(place)) for place in self._places]

    def translated(self, place: Place) -> Place:
        """An announced address as `address_remap` has it."""
        remap = self._address_remap
        if remap is None:
            return place
        found = remap(place) if callable(remap) else remap.get(place, place)
        return _place(found)

    def master_place(self, place: Place) -> Place:
        """The announced address of a master as clients shall use it."""
        if self._force_master_ip is not None:
            place = (self._force_master_ip, place[1])
        return self.translated(place)

    def watch(self, service_name: str) -> Watch:
        """What this hub knows of that master: one for all clients, as long as somebody uses it."""
        key = (get_hub(), service_name)
        found = self._watches.get(key)
        if found is None:
            found = self._watches[key] = Watch(self, service_name)
        return found

    # -- clients

    def master_for(
        self,
        service_name: str,
        redis_class: type[Any] = Redis,
        connection_pool_class: type[Any] = SentinelConnectionPool,
        **kwargs: Any,
    ) -> Any:
        """A client of that master, wherever it is. `kwargs` win over the Sentinel's own options.

        After a switch, calls that were stuck on the old master end with an error, and new ones go to
        the new one.  While there is none, calls wait until their deadline, without one for
        `socket_timeout`, and then raise MasterNotFoundError.  `hold_writes=True` keeps writes back,
        for 2 s at most, from the promotion of a replica until the switch is announced.
        """
        options = {**self.connection_kwargs, **kwargs, "is_master": True}
        return redis_class.from_pool(connection_pool_class(service_name, self, **options))

    def slave_for(
        self,
        service_name: str,
        redis_class: type[Any] = Redis,
        connection_pool_class: type[Any] = SentinelConnectionPool,
        **kwargs: Any,
    ) -> Any:
        """A client of that master's replicas: of those that are up and in sync, each in its turn.

        Where there is none, it is a client of the master.  With `read_from="nearest"` it keeps to
        the one that answers first.  SCAN and its kin stay with one replica, since their cursors do.
        """
        options = {**self.connection_kwargs, **kwargs, "is_master": False}
        return redis_class.from_pool(connection_pool_class(service_name, self, **options))

    def replica_for(
        self,
        service_name: str,
        redis_class: type[Any] = Redis,
        connection_pool_class: type[Any] = SentinelConnectionPool,
        **kwargs: Any,
    ) -> Any:
        """As `slave_for`."""
        return self.slave_for(service_name, redis_class, connection_pool_class, **kwargs)

    def events(self, service_name: str) -> Switches:
        """The switches of that master from now on: `for switch in sentinel.events("mymaster")`."""
        return Switches(self.watch(service_name))

    # -- asking

    def _ask_all(self, question: Callable[[Redis], Any]) -> list[tuple[Redis, Any]]:
        """Each sentinel with its answer, or its error; all are asked at once, until the caller's deadline."""

        def ask(client: Redis) -> Any:
            try:
                return question(client)
            except (ConnectionError, TimeoutError, ResponseError) as error:
                return error

        asked = [gevent.spawn(ask, client) for client in self.sentinels]
        until, late = deadlines.current(), TimeoutError("no answer by the deadline")
        try:
            gevent.joinall(asked, timeout=None if until is None else max(0.0, until - monotonic()))
            answers = [greenlet.value if greenlet.ready() else late for greenlet in asked]
            return list(zip(self.sentinels, answers, strict=True))
        finally:
            gevent.killall(asked, block=False)

    def discover_master(self, service_name: str) -> Place:
        """Host and port of that master, as the first sentinel in order that knows it says.

        Raises MasterNotFoundError, which says what each answered.
        """
        said = []
        for client, answer in self._ask_all(lambda each: each.sentinel_masters()):
            if isinstance(answer, Exception):
                said.append(f"{client.connection_pool.where()} {type(answer).__name__}: {answer}")
                continue
            state = answer.get(service_name)
            if state and self.check_master_state(state, service_name):
                return self.master_place((state["ip"], int(state["port"])))
            said.append(
                f"{client.connection_pool.where()} "
                + (f"says that it is {state['flags']}" if state else "does not know it")
            )
        raise MasterNotFoundError(f"No master found for {service_name!r}: {'; '.join(said)}")

    def discover_slaves(self, service_name: str) -> list[Place]:
        """Host and port of each replica that is up, by the first sentinel that knows of any."""
        for _, answer in self._ask_all(lambda client: client.sentinel_slaves(service_name)):
            if not isinstance(answer, Exception) and (found := self.filter_slaves(answer)):
                return [self.translated((host, int(port))) for host, port in found]
        return []

    def discover_replicas(self, service_name: str) -> list[Place]:
        """As `discover_slaves`."""
        return self.discover_slaves(service_name)

    def check_master_state(self, state: Mapping[str, Any], service_name: str) -> bool:
        """Whether a sentinel's answer about a master is to be believed."""
        up = state["is_master"] and not state["is_sdown"] and not state["is_odown"]
        return bool(up and state["num-other-sentinels"] >= self.min_other_sentinels)

    def filter_slaves(self, slaves: Iterable[Mapping[str, Any]]) -> list[Place]:
        """Host and port of those that are not down."""
        return [
            (each["ip"], each["port"]) for each in slaves if not each["is_odown"] and not each["is_sdown"]
        ]

    def filter_replicas(self, replicas: Iterable[Mapping[str, Any]]) -> list[Place]:
        """As `filter_slaves`."""
        return self.filter_slaves(replicas)

    def execute_command(self, *words: Any, **kwargs: Any) -> Any:
        """Whether all sentinels answered with something true; with `return_responses` their answers.

        With `once` one of them, at random, is asked.
        """
        once, with_replies = kwargs.pop("once", False), kwargs.pop("return_responses", False)
        clients = [random.choice(self.sentinels)] if once else self.sentinels
        replies = [client.execute_command(*words, **kwargs) for client in clients]
        return replies if with_replies else all(replies)

    # -- closing

    def close(self) -> None:
        """Close the connections to the given sentinels. Clients that were made here are their owners'."""
        failure: RedisError | None = None
        for client in self.sentinels:
            try:
                client.close()
            except RedisError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place(given: Any) -> Place:
    try:
        host, port = given
        return str(host), int(port)
    except (TypeError, ValueError):
        raise ValueError(f"{given!r} is no (host, port), as in ('10.0.0.1', 26379)") from None
