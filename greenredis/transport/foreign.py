"""Connection classes of the user's own, which have redis-py's contract and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exceptions import TimeoutError
from .connection import AbstractConnection
from .core import UNSET

_TAKES_ANY = 0x08  # inspect.CO_VARKEYWORDS, whose module takes 3 ms to import


_PACKAGE = AbstractConnection.__module__.partition(".")[0] + "."


def is_native(connection_class: Any) -> bool:
    """Whether the class is ours, or a subclass of ours that opens our socket.

    One that brings a socket, by redis-py's `_connect()`, is the user's own, as fakeredis's is.
    """
    ours = isinstance(connection_class, type) and issubclass(connection_class, AbstractConnection)
    return ours and not hasattr(connection_class, "_connect")


def own_options(connection_class: type[Any]) -> list[str] | None:
    """The options that a subclass of the user's adds; None if only it can tell, taking any by `**`."""
    names: list[str] = []
    for kind in connection_class.__mro__:
        if kind.__module__.startswith(_PACKAGE):
            return names
        if "__init__" in vars(kind):
            code = vars(kind)["__init__"].__code__
            names += code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
            if code.co_flags & _TAKES_ANY:
                return None
    return names


def sees_replies(connection_class: Any) -> bool:
    """Whether the class sends or reads in its own way, and so expects to be asked to."""
    return not is_native(connection_class) or any(
        getattr(connection_class, name) is not getattr(AbstractConnection, name)
        for name in ("pack_command", "send_command", "send_packed_command", "read_response")
    )


def adopt(connection: Any) -> Any:
    """The connection, with what the pool asks for beyond redis-py's contract."""
    extras = {
        "address": None,
        "is_reusable": lambda: not (connection.tainted or getattr(connection, "should_reconnect", bool)()),
        "looks_idle": lambda: True,
        "is_cut": lambda: False,
        "is_connected": True,
        "owed": 0,
        "shut": connection.disconnect,
        "mark_for_reconnect": lambda: None,
        "set_re_auth_token": lambda token: None,
        "idle_since": 0.0,
        "expires": float("inf"),
        "tainted": False,
    }
    if isinstance(connection, AbstractConnection):
        del extras["is_connected"]
        _bring_own_socket(connection)
    for name, value in extras.items():
        if not hasattr(connection, name):
            setattr(connection, name, value)
    # redis-py's pool connects whatever it lends: here, what is to be logged in again is made ready.
    connection._re_auth_token = connection
    connection.make_ready = connection.connect
    return connection


def _bring_own_socket(connection: Any) -> None:
    if type(connection).read_response is AbstractConnection.read_response:
        kind = type(connection).__qualname__
        raise TypeError(f"{kind} brings a socket, by _connect(), so it must read from it, by read_response()")
    # What it has read is not counted.
    connection.is_reusable = lambda: connection.is_connected and not connection.tainted
    connection.read_response = _in_time(connection)


def _in_time(connection: Any) -> Callable[..., Any]:
    """`read_response`, within the `timeout` that it may not know of."""
    read = connection.read_response

    def read_response(*args: Any, timeout: Any = UNSET, **options: Any) -> Any:
        if timeout is not UNSET and not connection.can_read(timeout):
            raise TimeoutError(f"nothing to read from {connection.address}")
        return read(*args, **options)

    return read_response
