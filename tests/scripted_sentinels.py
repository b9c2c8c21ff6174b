"""Sentinels and masters that say what the test wants, in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from greenredis.testing import ScriptedClient, ScriptedServer, wait_until

NAME = "mymaster"


def bulk(word: object) -> bytes:
    text = str(word).encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def array(*words: object, mark: bytes = b"*") -> bytes:
    return mark + b"%d\r\n" % len(words) + b"".join(map(bulk, words))


def _role(role: str) -> bytes:
    if not role:
        return b"-NOPERM this user has no permissions to run the 'role' command\r\n"
    return b"*3\r\n" + bulk(role) + b":0\r\n*0\r\n"


class ScriptedNode(ScriptedServer):
    """A data node: `role` is what it says of itself; any key holds its port."""

    def __init__(self, role: str = "master") -> None:
        super().__init__(self._reply)
        self.role = role

    @property
    def place(self) -> tuple[str, int]:
        return self.host, self.port

    def _reply(self, words: list[bytes], client: ScriptedClient) -> bytes:
        name = words[0].upper()
        if name == b"ROLE":
            return _role(self.role)
        if name == b"ECHO":
            return bulk(words[1].decode())
        if name == b"SET":
            refusal = b"-READONLY You can't write against a replica.\r\n"
            return refusal if self.role == "slave" else b"+OK\r\n"
        if name == b"SUBSCRIBE":
            return _subscribed(words, client)
        if name == b"GET":
            return bulk(self.port)
        return b"-ERR unknown command\r\n"


def _subscribed(words: list[bytes], client: ScriptedClient) -> bytes:
    mark = b">" if client.protocol == 3 else b"*"
    return b"".join(
        mark + b"3\r\n" + bulk("subscribe") + bulk(word.decode()) + b":%d\r\n" % number
        for number, word in enumerate(words[1:], 1)
    )


class ScriptedSentinel(ScriptedServer):
    """A sentinel: `place` and `epoch` are what it believes, `flags` what it says of the master."""

    def __init__(self, place: tuple[str, int] | None = None, epoch: int = 0, resp3: bool = True) -> None:
        super().__init__(self._reply, resp3=resp3)
        self.place = place
        self.by_name: tuple[str, int] | None = None  # by GET-MASTER-ADDR-BY-NAME, if that differs
        self.epoch = epoch
        self.flags = "master"
        self.id = f"{id(self):040x}"
        self.others: list[ScriptedSentinel] = []
        self.sees = 2
        self.is_silent = False

    # -- what it is asked

    def _reply(self, words: list[bytes], client: ScriptedClient) -> bytes | None:
        if self.is_silent:
            return None
        name = b" ".join(words[: 2 if words[0].upper() == b"SENTINEL" else 1]).upper().decode()
        handler = {
            "SUBSCRIBE": self._subscribe,
            "SENTINEL MASTER": lambda *_: self._master(words[2]),
            "SENTINEL MASTERS": lambda *_: b"*1\r\n" + self._master(NAME.encode()),
            "SENTINEL GET-MASTER-ADDR-BY-NAME": lambda *_: self._place(words[2]),
            "SENTINEL MYID": lambda *_: bulk(self.id),
            "SENTINEL SENTINELS": lambda *_: self._others(),
            "SENTINEL SLAVES": lambda *_: b"*0\r\n",
        }.get(name)
        return handler(words, client) if handler is not None else b"-ERR unknown command\r\n"

    def _subscribe(self, words: list[bytes], client: ScriptedClient) -> bytes:
        return _subscribed(words, client)

    def _place(self, name: bytes) -> bytes:
        place = self.by_name or self.place
        return array(*place) if place is not None and name == NAME.encode() else b"*-1\r\n"

    def _master(self, name: bytes) -> bytes:
        if self.place is None or name != NAME.encode():
            return b"-ERR No such master with that name\r\n"
        return array(
            "name", NAME, "ip", self.place[0], "port", self.place[1], "flags", self.flags,
            "num-other-sentinels", self.sees, "config-epoch", self.epoch,
        )  # fmt: skip

    def _others(self) -> bytes:
        states = [
            array("name", each.id, "ip", each.host, "port", each.port, "runid", each.id, "flags", "sentinel")
            for each in self.others
        ]
        return b"*%d\r\n" % len(states) + b"".join(states)

    # -- what it tells

    @property
    def subscribers(self) -> list[ScriptedClient]:
        return [
            client
            for client in self.clients
            if not client.closed and any(words[0].upper() == b"SUBSCRIBE" for words in client.commands)
        ]

    def publish(self, channel: str, data: str) -> None:
        """Tell all subscribers."""
        for client in self.subscribers:
            client.send(array("message", channel, data, mark=b">" if client.protocol == 3 else b"*"))

    def switch(self, new: ScriptedNode, epoch: int, name: str = NAME, believes: bool = True) -> None:
        """Announce a switch to `new`, and believe it from now on (unless told not to)."""
        old = self.place or ("127.0.0.1", 1)
        if believes:
            self.place, self.epoch = new.place, epoch
        self.publish("+switch-master", f"{name} {old[0]} {old[1]} {new.host} {new.port}")

    def questions(self) -> list[str]:
        """The SENTINEL subcommands that it was asked, in order."""
        return [words[1].decode().upper() for words in self.sent("SENTINEL")]


@contextmanager
def group(nodes: int = 2, sentinels: int = 3, **options: Any) -> Iterator[tuple[list[Any], list[Any]]]:
    """Scripted nodes, the first of them the master, and sentinels that believe in it."""
    with ExitStack() as stack:
        made = [stack.enter_context(ScriptedNode()) for _ in range(nodes)]
        watching = [stack.enter_context(ScriptedSentinel(made[0].place, **options)) for _ in range(sentinels)]
        yield made, watching


def wait_for_subscribers(sentinels: list[ScriptedSentinel]) -> None:
    """Return when each has a subscriber that has asked for the others: all is known then."""
    wait_until(lambda: all(each.subscribers and each.sent("SENTINEL") for each in sentinels))
    wait_until(lambda: all("SENTINELS" in each.questions() for each in sentinels))
