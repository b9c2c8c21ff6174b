"""What servers tell of their commands, and command lines made from it."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import hiredis

TIMEOUT = "7777"  # no other word of a line is that


def ask_each(port: int, lines: Sequence[Sequence[Any]]) -> list[Any]:
    """The replies, as text, on one connection; errors among them."""
    reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
    replies: list[Any] = []
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for line in lines:
            connection.sendall(hiredis.pack_command(tuple(line)))
            while (reply := reader.gets()) is False:
                reader.feed(connection.recv(65536))
            replies.append(reply)
    return replies


class Command(NamedTuple):
    name: str  # as the table has it: CONFIG|GET
    arity: int
    flags: frozenset[str]
    tips: dict[str, str]
    has_keys: bool


def commands(port: int) -> dict[str, Command]:
    """All that COMMAND tells; of a command that has subcommands, these instead, and COMMAND itself."""
    return {command.name: command for command in _commands(ask_each(port, [["COMMAND"]])[0])}


def _commands(reply: list[Any]) -> Iterator[Command]:
    for name, arity, flags, *_, tips, specs, subcommands in reply:
        if not subcommands or name == "command":
            policies = dict(tip.split(":") for tip in tips if ":" in tip)
            yield Command(name.upper(), arity, frozenset(flags), policies, bool(specs))
        yield from _commands(subcommands)


def documents(port: int) -> dict[str, list[Any]]:
    """The arguments of each command, where the server documents them."""
    return dict(_documents(ask_each(port, [["COMMAND", "DOCS"]])[0]))


def _documents(reply: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    for name, document in fields(reply).items():
        told = fields(document)
        yield name.upper(), arguments(told)
        yield from _documents(told.get("subcommands", []))


def arguments(flat: dict[str, Any]) -> list[Any]:
    found = [fields(argument) for argument in flat.get("arguments", [])]
    return [{**argument, "arguments": arguments(argument)} for argument in found]


def fields(flat: list[Any]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Lines:
    """Command lines by chance, the same in each run."""

    def __init__(self, command: Command, arguments: list[Any]) -> None:
        self.name = command.name.split("|")
        self.arity = command.arity
        self.arguments = arguments
        self.random = random.Random(command.name)
        self.count: int | None = None  # of what follows numkeys
        self.next = 0

    def make(self, many: int) -> list[list[str]]:
        return [line for line in (self.line() for _ in range(many)) if self.is_valid(line)]

    def line(self) -> list[str]:
        if self.arguments:
            return [*self.name, *self.sequence(self.arguments)]
        return [*self.name, *(self.word() for _ in range(max(3, abs(self.arity) - 1)))]

    def is_valid(self, line: list[str]) -> bool:
        """MIGRATE has its only key, or "" and KEYS; GEORADIUS stores one thing."""
        if line[0] == "MIGRATE":
            return ("" in line) == ("KEYS" in line)
        return not {"STORE", "STOREDIST"} <= set(line)

    def word(self) -> str:
        self.next += 1
        return f"word{self.next}"

    def sequence(self, arguments: list[Any]) -> list[str]:
        words: list[str] = []
        for argument, following in pairwise([*arguments, {}]):
            words += self.words(argument)
            if argument["name"] == "numkeys":
                least = 0 if "optional" in following.get("flags", ()) else 1
                self.count = self.random.randint(least, 3)
                words[-1] = str(self.count)
        return words

    def words(self, argument: Any) -> list[str]:
        flags, token, times = argument.get("flags", ()), argument.get("token"), 1
        if self.count is not None and "multiple" in flags:
            times, self.count = self.count, None
        elif "optional" in flags and self.random.random() < 0.5:
            return []
        elif "multiple" in flags:
            times = self.random.randint(1, 3)
        words = []
        for turn in range(times):
            if token is not None and (turn == 0 or "multiple_token" in flags):
                words.append(token.strip('"'))
            words += self.value(argument, token)
        return words

    def value(self, argument: Any, token: str | None) -> list[str]:
        kind, name = argument["type"], argument["name"]
        if kind == "oneof":
            return self.words(self.random.choice(argument["arguments"]))
        if kind == "block":
            if token == "STREAMS":
                many = self.random.randint(1, 3)
                return [self.word() for _ in range(many)] + ["0"] * many
            return self.sequence(argument["arguments"])
        if kind == "pure-token":
            return []
        if name == "timeout" or (name, token) == ("milliseconds", "BLOCK"):
            return [TIMEOUT]
        return [self.word()] if kind in ("key", "string", "pattern") else [str(self.random.randint(1, 9))]
