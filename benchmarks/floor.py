"""The floor: the least that gevent and hiredis allow for each workload of greenredis.workloads.

Nothing here handles errors, timeouts or kills.  `python benchmarks/floor.py mux --port 6379` prints
JSON: operations, seconds, CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent.socket
from gevent.hub import get_hub
from gevent.queue import LifoQueue
from hiredis import Reader, pack_command

from greenredis.workloads import NAMES, prepare, run

SIZE = 65_536


class Floor:
    """What the workloads call, on `execute`."""

    def execute(self, *words: Any) -> Any: ...

    def set(self, key: str, value: bytes) -> Any:
        return self.execute("SET", key, value)

    def get(self, key: str) -> Any:
        return self.execute("GET", key)

    def delete(self, key: str) -> Any:
        return self.execute("DEL", key)

    def rpush(self, key: str, *values: Any) -> Any:
        return self.execute("RPUSH", key, *values)

    def lrange(self, key: str, first: int, last: int) -> Any:
        return self.execute("LRANGE", key, first, last)


class Shared(Floor):
    """All greenlets on one socket, which the hub reads."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.hub = get_hub()
        self.reader: Any = Reader()
        self.buffer = bytearray(SIZE)
        self.commands: list[bytes] = []
        self.owners: deque[Callable[[Any], Any]] = deque()
        self.is_due = False
        self.watcher = self.hub.loop.io(self.sock.fileno(), 1)
        self.watcher.start(self.on_readable)

    def on_readable(self) -> None:
        self.reader.feed(self.buffer, 0, self.sock.recv_into(self.buffer))
        gets, take = self.reader.gets, self.owners.popleft
        while (reply := gets()) is not False:
            take()(reply)

    def write(self) -> None:
        self.is_due = False
        self.sock.send(b"".join(self.commands))
        self.commands.clear()

    def execute(self, *words: Any) -> Any:
        self.commands.append(pack_command(words))
        is_alone = not self.owners
        self.owners.append(gevent.getcurrent().switch)
        if not self.is_due:
            if is_alone:
                self.write()
            else:
                self.is_due = True
                self.hub.loop.run_callback(self.write)
        return self.hub.switch()


class Wire(Floor):
    """One gevent socket for one greenlet at a time."""

    def __init__(self, port: int) -> None:
        self.sock = gevent.socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader: Any = Reader()
        self.buffer = bytearray(SIZE)

    def execute(self, *words: Any) -> Any:
        self.sock.sendall(pack_command(words))
        return self.read()

    def read(self) -> Any:
        while (reply := self.reader.gets()) is False:
            self.reader.feed(self.buffer, 0, self.sock.recv_into(self.buffer))
        return reply


class Batches(Wire):
    """A wire, and many commands written as one piece."""

    def pipeline(self, transaction: bool) -> Batches:
        self.packed: list[bytes] = []
        return self

    def set(self, key: str, value: bytes) -> Any:
        words: Any = ("SET", key, value)
        self.packed.append(pack_command(words))

    def execute(self, *words: Any) -> Any:
        if words:
            return super().execute(*words)
        self.sock.sendall(b"".join(self.packed))
        return [self.read() == b"OK" for _ in self.packed]


class Pool(Floor):
    """Fifty wires, the last used first."""

    def __init__(self, port: int) -> None:
        self.idle: Any = LifoQueue()
        for _ in range(50):
            self.idle.put(Wire(port))

    def execute(self, *words: Any) -> Any:
        wire = self.idle.get()
        try:
            return wire.execute(*words)
        finally:
            self.idle.put(wire)


KINDS: dict[str, Callable[[int], Floor]] = {"mux": Shared, "pool": Pool, "pipeline": Batches}


def main() -> None:
    parser = argparse.ArgumentParser(description="the least that gevent and hiredis allow")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--greenlets", type=int, default=200)
    parser.add_argument("--operations", type=int, default=20_000)
    options = parser.parse_args()
    client = KINDS.get(options.name, Wire)(options.port)
    prepare(client, options.name)
    json.dump(run(client, options.name, options.greenlets, options.operations), sys.stdout)


if __name__ == "__main__":
    main()
