"""What a new connection says first: one write, one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import (
    AuthenticationWrongNumberOfArgsError,
    ConnectionError,
    NoPermissionError,
    ResponseError,
)

if TYPE_CHECKING:
    from .core import CoreConnection

Words = tuple[Any, ...]


class WrongRole(ConnectionError):
    """The server that was connected to is not what was looked for."""


def shake_hands(connection: CoreConnection) -> None:
    """Log in, choose the protocol, the name and the database.

    A server that does not know HELLO is spoken to in RESP2, unless RESP3 was asked for.  What a
    server or its ACL does not know of CLIENT SETINFO is no error; wrong credentials are.
    """
    credentials = connection.credentials()
    if connection.protocol == 3 and _hello(connection, credentials):
        return
    connection.protocol = 2
    _classic(connection, credentials)


def _hello(connection: CoreConnection, credentials: Sequence[str]) -> bool:
    hello: list[Any] = ["HELLO", 3]
    if credentials:
        user, password = credentials if len(credentials) == 2 else ("default", credentials[0])
        hello += ["AUTH", user, password]
    commands = [tuple(hello), *_common(connection)]
    replies = connection.ask(commands)
    if isinstance(replies[0], ResponseError) and _is_unknown(replies[0]):
        if connection.must_be_resp3:
            raise replies[0]
        return False
    connection.handshake_metadata = _checked(replies[0])
    _check(connection, commands[1:], replies[1:])
    return True


def _classic(connection: CoreConnection, credentials: Sequence[str]) -> None:
    commands: list[Words] = [("AUTH", *credentials)] if credentials else []
    commands += _common(connection)
    replies = connection.ask(commands) if commands else []
    if replies and isinstance(replies[0], AuthenticationWrongNumberOfArgsError):
        commands[0] = ("AUTH", credentials[-1])  # before Redis 6 there was a password only
        replies = connection.ask(commands)
    _check(connection, commands, replies)


def _common(connection: CoreConnection) -> list[Words]:
    commands: list[Words] = [("ROLE",)] if connection.role else []
    if connection.client_name:
        commands.append(("CLIENT", "SETNAME", connection.client_name))
    info = connection.driver_info
    if info is not None and info.formatted_name:
        commands.append(("CLIENT", "SETINFO", "LIB-NAME", info.formatted_name))
    if info is not None and info.lib_version:
        commands.append(("CLIENT", "SETINFO", "LIB-VER", info.lib_version))
    if connection.db:
        commands.append(("SELECT", connection.db))
    if connection.read_from_replica:
        commands.append(("READONLY",))
    return commands


def _check(connection: CoreConnection, commands: Sequence[Words], replies: Sequence[Any]) -> None:
    for command, reply in zip(commands, replies, strict=True):
        if command[0] == "ROLE":
            _check_role(connection, reply)
        elif command[:2] != ("CLIENT", "SETINFO") and not _is_unknown_part(command, reply):
            _checked(reply)


def _check_role(connection: CoreConnection, reply: Any) -> None:
    """A user who may not ask is not refused: his commands will tell."""
    if isinstance(reply, NoPermissionError):
        return
    words = [each.decode() if isinstance(each, bytes) else each for each in _checked(reply)]
    if words[0] != connection.role:
        raise WrongRole(f"{connection.address} is a {words[0]} and no {connection.role}")
    if words[0] == "slave" and words[3] != "connected":
        raise WrongRole(f"{connection.address} is not in sync: {words[3]}")


def _checked(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _is_unknown_part(command: Words, reply: Any) -> bool:
    return command[0] == "CLIENT" and isinstance(reply, ResponseError) and _is_unknown(reply)


def _is_unknown(error: ResponseError) -> bool:
    text = str(error.args[0] if error.args else "").lower()
    return (
        "unknown command" in text
        or "unknown subcommand" in text
        or text.startswith(("noproto", "unsupported"))
    )
