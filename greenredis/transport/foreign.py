"""Connection classes of the user's own, which have redis-py's contract and no more."""

from __future__ import annotations

from typing import Any

from .connection import AbstractConnection


def is_native(connection_class: Any) -> bool:
    """Whether the class is ours, or a subclass of ours."""
    return isinstance(connection_class, type) and issubclass(connection_class, AbstractConnection)


def extra_names(connection_class: type[Any]) -> list[str]:
    """The options that a subclass of the user's adds."""
    code = getattr(connection_class.__init__, "__code__", None)
    return [] if code is None else list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


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
        "check_health": lambda: None,
        "set_re_auth_token": lambda token: None,
        "idle_since": 0.0,
        "expires": float("inf"),
        "tainted": False,
    }
    for name, value in extras.items():
        if not hasattr(connection, name):
            setattr(connection, name, value)
    # redis-py's pool connects whatever it lends: here, what is to be logged in again is made ready.
    connection._re_auth_token = connection
    connection.re_auth = connection.connect
    return connection
