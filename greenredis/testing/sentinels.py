"""A master, its replicas and their sentinels, each behind Toxiproxy, and what is done to them."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import hiredis

from .lateness import wait_until
from .process import Child, ProcessFailed
from .servers import Server, find_server
from .toxiproxy import Proxy, Toxiproxy

if TYPE_CHECKING:
    from typing_extensions import Self

# Sentinel's own periods in milliseconds: so that it forms quickly, and then fails over without hurry.
_FORMING = ("PUBLISH-PERIOD", 100, "INFO-PERIOD", 100)
_FORMED = ("PUBLISH-PERIOD", 2000, "INFO-PERIOD", 1000, "ASK-PERIOD", 100, "PING-PERIOD", 300)


class SentinelServer(Server):
    """A sentinel; it writes what it learns into its own configuration file, and starts from that again."""

    def __init__(self, lines: Sequence[str], binary: str | None = None) -> None:
        super().__init__(binary=binary)
        self.name = "sentinel"
        self.log = self.folder / "sentinel.log"
        self.file = self.folder / "sentinel.conf"
        for line in lines:  # so that ask() can log in
            if line.startswith("requirepass "):
                self.config["requirepass"] = line.partition(" ")[2].strip('"')
        own = (f"port {self.port}", f"bind {self.host}", "protected-mode no", f"dir {self.folder}")
        self.file.write_text("\n".join((*own, *lines)) + "\n")

    def command(self) -> list[str]:
        return [self.binary, str(self.file), "--sentinel"]


class SentinelDeployment:
    """A master with two replicas, and three sentinels over it, each behind a proxy. A context manager.

    All of them, clients included, know each other by the proxies' addresses.  Nodes are numbered
    from 0, which is the master at first; methods take a number, by default the present master's.
    A master that was killed is replaced after `down_after` ms and about one second.
    `node_config` and `sentinel_lines` are added to their configurations.
    """

    def __init__(
        self,
        toxiproxy: Toxiproxy,
        binary: str | None = None,
        *,
        name: str = "mymaster",
        replicas: int = 2,
        sentinels: int = 3,
        down_after: int = 1000,
        failover_timeout: int = 3000,
        node_config: Mapping[str, object] | None = None,
        sentinel_lines: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._toxiproxy = toxiproxy
        self._binary = binary or find_server()
        self._counts = (1 + replicas, sentinels)
        self._timing = (down_after, failover_timeout)
        self._node_config = dict(node_config or {})
        self._sentinel_lines = list(sentinel_lines)
        self._stack = ExitStack()
        self.nodes: list[Server] = []
        self.proxies: list[Proxy] = []
        self.sentinels: list[SentinelServer] = []
        self.sentinel_proxies: list[Proxy] = []

    def __repr__(self) -> str:
        return (
            f"<SentinelDeployment {self.name!r} of {len(self.nodes)} nodes, {len(self.sentinels)} sentinels>"
        )

    # -- starting

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Killed before the proxies are removed, which a suspended process would hold up.
        for process in (*self.nodes, *self.sentinels):
            process.kill()
        self._stack.close()

    def _start(self) -> None:
        nodes, sentinels = self._counts
        for number in range(nodes):
            self._add_node(number)
        for each in self.nodes:
            each.wait_until_ready()
        for _ in range(sentinels):
            self._add_sentinel()
        for each in self.sentinels:
            each.wait_until_ready()
        self._set_periods(_FORMING)
        self.wait_until_settled(20.0)
        self._set_periods(_FORMED)

    def _add_node(self, number: int) -> None:
        config: dict[str, object] = {
            "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1, "repl-timeout": 5,
            **self._node_config,
        }  # fmt: skip
        node = Server(binary=self._binary, config=config)
        node.name = f"node-{number}"
        self._stack.callback(node.close)
        proxy = self._stack.enter_context(self._toxiproxy.proxy(node.port))
        node.config |= {"replica-announce-ip": proxy.host, "replica-announce-port": proxy.port}
        if self.proxies:
            node.config["replicaof"] = f"{proxy.host} {self.proxies[0].port}"
        self.nodes.append(node)
        self.proxies.append(proxy)
        node.start(wait=False)

    def _add_sentinel(self) -> None:
        down_after, timeout = self._timing
        first, name, quorum = self.proxies[0], self.name, self._counts[1] // 2 + 1
        lines = [
            f"sentinel monitor {name} {first.host} {first.port} {quorum}",
            f"sentinel down-after-milliseconds {name} {down_after}",
            f"sentinel failover-timeout {name} {timeout}",
            f"sentinel parallel-syncs {name} {self._counts[0]}",
            *self._sentinel_lines,
        ]
        sentinel = SentinelServer(lines, self._binary)
        self._stack.callback(sentinel.close)
        proxy = self._stack.enter_context(self._toxiproxy.proxy(sentinel.port))
        with sentinel.file.open("a") as file:
            file.write(f"sentinel announce-ip {proxy.host}\nsentinel announce-port {proxy.port}\n")
        self.sentinels.append(sentinel)
        self.sentinel_proxies.append(proxy)
        sentinel.start(wait=False)

    def _set_periods(self, periods: Sequence[str | int]) -> None:
        for sentinel in self.sentinels:
            sentinel.ask("SENTINEL", "DEBUG", *periods)

    # -- what it is

    @property
    def places(self) -> list[tuple[str, int]]:
        """(host, port) of each sentinel's proxy, for `Sentinel(...)`."""
        return [(proxy.host, proxy.port) for proxy in self.sentinel_proxies]

    @property
    def master(self) -> int:
        """The number of the master, as the sentinels that run say; `ProcessFailed` if none does."""
        for sentinel in self.sentinels:
            place = _answer(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            if place:
                ports = [proxy.port for proxy in self.proxies]
                return ports.index(int(place[1]))
        raise ProcessFailed(f"no sentinel of {self!r} knows the master")

    def node(self, number: int | None = None) -> Server:
        """The node of that number, by default the master."""
        return self.nodes[self.master if number is None else number]

    def is_settled(self) -> bool:
        """Whether all run and agree: on the master, on its replicas, which are in sync, and on each other."""
        running = [each for each in (*self.nodes, *self.sentinels) if each.running]
        if len(running) < sum(self._counts):
            return False
        master = self.master
        states = [_answer(each, "SENTINEL", "MASTER", self.name) for each in self.sentinels]
        port = str(self.proxies[master].port).encode()
        if not all(state and _is_whole(_pairs(state), port, self._counts) for state in states):
            return False
        if b"master" not in (_answer(self.nodes[master], "ROLE") or ())[:1]:
            return False
        return all(self._is_in_sync(number, master) for number in range(len(self.nodes)) if number != master)

    def _is_in_sync(self, number: int, master: int) -> bool:
        role = _answer(self.nodes[number], "ROLE")
        in_sync = (
            bool(role) and role[0] == b"slave" and role[2:4] == [self.proxies[master].port, b"connected"]
        )
        return in_sync and all(
            _replica_is_up(_answer(each, "SENTINEL", "REPLICAS", self.name), self.proxies[number].port)
            for each in self.sentinels
        )

    def wait_until_settled(self, timeout: float = 30.0) -> None:
        """Return when it `is_settled`; `AssertionError` after `timeout` seconds."""
        wait_until(self.is_settled, timeout, f"{self!r} does not settle")

    # -- what is done to it

    def kill(self, number: int | None = None, proxy_too: bool = True) -> int:
        """SIGKILL a node; its number. Its proxy refuses connections then, unless told not to."""
        number = self.master if number is None else number
        self.nodes[number].kill()
        if proxy_too:
            self.proxies[number].disable()
        return number

    def stop(self, number: int | None = None) -> int:
        """SIGSTOP a node; its number. Connections to it are accepted, and never answered."""
        number = self.master if number is None else number
        self.nodes[number].suspend()
        return number

    def cont(self, number: int) -> None:
        """SIGCONT a node."""
        self.nodes[number].resume()

    def restart(self, number: int) -> None:
        """Start a node that was killed, as what it was at first, or stop and start one that runs."""
        self.proxies[number].enable()
        self.nodes[number].restart()

    def failover(self, coordinated: bool = False) -> int:
        """Begin a failover by hand; the number of the master that will be left.

        `coordinated`, which Valkey 9 knows: the master hands over first, and nothing is lost.
        """
        old = self.master
        words = ["SENTINEL", "FAILOVER", self.name, *(["COORDINATED"] if coordinated else [])]
        self.sentinels[0].ask(*words)
        return old

    @contextmanager
    def partition(self, *proxies: Proxy) -> Iterator[None]:
        """Within the block nothing gets through these proxies, either way, and connections stay open."""
        with ExitStack() as stack:
            for proxy in proxies:
                for stream in ("upstream", "downstream"):
                    stack.enter_context(proxy.toxic("timeout", stream, timeout=0))
            yield

    def heal(self) -> None:
        """All proxies up and without toxics, all processes running; return when it is settled."""
        for process in (*self.nodes, *self.sentinels):
            process.resume()
        for proxy in (*self.proxies, *self.sentinel_proxies):
            proxy.reset()
        for process in (*self.nodes, *self.sentinels):
            process.start()
        self._set_periods(_FORMED)  # which a sentinel that was restarted has forgotten
        wait_until(self._agrees, 20.0, f"the sentinels of {self!r} do not agree")
        self._demote_others()
        self.wait_until_settled()

    def _agrees(self) -> bool:
        """Whether all sentinels name one master, and none is failing over."""
        states = [_answer(each, "SENTINEL", "MASTER", self.name) for each in self.sentinels]
        seen = {(state[b"port"], state[b"flags"]) for state in map(_pairs, filter(None, states))}
        return all(states) and len(seen) == 1 and next(iter(seen))[1] == b"master"

    def _demote_others(self) -> None:
        """What the sentinels do too, but only after 8 s."""
        master = self.master
        for number, node in enumerate(self.nodes):
            if number != master and (_answer(node, "ROLE") or [b"slave"])[0] == b"master":
                node.ask("REPLICAOF", self.proxies[master].host, self.proxies[master].port)

    def observer(self) -> SwitchObserver:
        """A process of its own that notes when the sentinels announce a switch. A context manager."""
        return SwitchObserver([sentinel.port for sentinel in self.sentinels], self.name)


def _answer(server: Server, *words: str) -> Any:
    try:
        return server.ask(*words, timeout=1.0)
    except (OSError, hiredis.ReplyError):
        return None


def _pairs(state: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(state[::2], state[1::2], strict=True))


def _is_whole(state: Mapping[bytes, bytes], port: bytes, counts: tuple[int, int]) -> bool:
    nodes, sentinels = counts
    return (
        state[b"flags"] == b"master"
        and state[b"port"] == port
        and int(state[b"num-slaves"]) == nodes - 1
        and int(state[b"num-other-sentinels"]) == sentinels - 1
    )


def _replica_is_up(states: Sequence[Any] | None, port: int) -> bool:
    found = [_pairs(state) for state in states or ()]
    mine = [state for state in found if state[b"port"] == str(port).encode()]
    return len(mine) == 1 and mine[0][b"flags"] == b"slave" and mine[0][b"master-link-status"] == b"ok"


def _observe(ports: list[int], name: str) -> None:
    """The program of `SwitchObserver`: prints when each sentinel announces a switch."""
    import selectors
    import socket
    import time

    waiting = selectors.DefaultSelector()
    for port in ports:
        link = socket.create_connection(("127.0.0.1", port), 5)
        link.sendall(b"SUBSCRIBE +switch-master\r\n")
        link.recv(1000)
        waiting.register(link, selectors.EVENT_READ, port)
    print("ready", flush=True)
    while waiting.get_map():
        for key, _ in waiting.select():
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            now = time.monotonic()
            for line in data.decode().split("\r\n"):
                if line.startswith(f"{name} "):
                    print(f"{now!r} {key.data} {line}", flush=True)
            if not data:
                waiting.unregister(key.fileobj)


class SwitchObserver:
    """Listens to sentinels from another process, past every proxy. A context manager.

    `switches`: the (monotonic time, sentinel's port, event's text) of each announcement so far.
    """

    def __init__(self, ports: Sequence[int], name: str) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        program = f"{inspect.getsource(_observe)}\n_observe({list(ports)!r}, {name!r})"
        self._child = Child([sys.executable, "-I", "-S", "-c", program], self._file.fileno())

    def __enter__(self) -> Self:
        wait_until(lambda: b"ready" in self._output(), 10.0, "the observer does not get ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.signal(signal.SIGKILL)
        wait_until(lambda: self._child.ended)
        self._file.close()

    def _output(self) -> bytes:
        return os.pread(self._file.fileno(), 1 << 20, 0)

    @property
    def switches(self) -> list[tuple[float, int, str]]:
        lines = self._output().decode().splitlines()
        rows = [line.split(" ", 2) for line in lines if line != "ready" and line.count(" ") > 2]
        return [(float(time), int(port), text) for time, port, text in rows]

    def first_after(self, since: float, timeout: float = 20.0) -> float:
        """When the first switch after `since` (monotonic) was announced; waits for it."""
        wait_until(
            lambda: any(time > since for time, _, _ in self.switches), timeout, "no switch was announced"
        )
        return min(time for time, _, _ in self.switches if time > since)
