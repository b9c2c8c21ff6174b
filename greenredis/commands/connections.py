"""Connections to the server: this one and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..exceptions import DataError
from .options import Commands, Key, Word, options


class ConnectionCommands(Commands):
    """What changes the connection itself makes sense only with `single_connection_client`."""

    def ping(self, **kwargs: Any) -> bool:
        """Whether the server answers as it should."""
        return self.execute_command("PING", **kwargs)

    def echo(self, value: Word, **kwargs: Any) -> Any:
        """The same value."""
        return self.execute_command("ECHO", value, **kwargs)

    def auth(self, password: str, username: str | None = None, **kwargs: Any) -> bool:
        """True, when this connection is another user's."""
        words = [password] if username is None else [username, password]
        return self.execute_command("AUTH", *words, **kwargs)

    def select(self, index: int, **kwargs: Any) -> bool:
        """True, when this connection uses another database; `Redis(db=...)` is the way to it."""
        return self.execute_command("SELECT", index, **kwargs)

    def quit(self, **kwargs: Any) -> bool:
        """True, when the server closes this connection; `close()` is the way to it."""
        return self.execute_command("QUIT", **kwargs)

    def reset(self) -> Any:
        """RESET, when this connection is as new."""
        return self.execute_command("RESET")

    def hello(self) -> None:
        """Not offered: connections do it themselves."""
        raise NotImplementedError("HELLO is intentionally not implemented in the client.")

    def client_id(self, **kwargs: Any) -> int:
        """This connection's number."""
        return self.execute_command("CLIENT ID", **kwargs)

    def client_info(self, **kwargs: Any) -> dict[str, Any]:
        """What the server knows of this connection."""
        return self.execute_command("CLIENT INFO", **kwargs)

    def client_list(
        self,
        _type: str | None = None,
        client_id: list[Word] = [],  # noqa: B006 -- redis-py's signature; never changed
        **kwargs: Any,
    ) -> list[dict[str, str]]:
        """What the server knows of all connections, those of a type, or those with these numbers."""
        kinds = ("normal", "master", "replica", "pubsub")
        if _type is not None and str(_type).lower() not in kinds:
            raise DataError(f"CLIENT LIST _type must be one of {kinds!r}")
        if not isinstance(client_id, list):
            raise DataError("client_id must be a list")
        numbers = ["ID", *client_id] if client_id else []
        return self.execute_command("CLIENT LIST", *options(TYPE=_type), *numbers, **kwargs)

    def client_kill(self, address: str, **kwargs: Any) -> Any:
        """True, after closing the connection from that IP address and port."""
        return self.execute_command("CLIENT KILL", address, **kwargs)

    def client_kill_filter(
        self,
        _id: str | None = None,
        _type: str | None = None,
        addr: str | None = None,
        skipme: bool | None = None,
        laddr: bool | None = None,
        user: str | None = None,
        maxage: int | None = None,
        **kwargs: Any,
    ) -> int:
        """How many connections were closed, of those that match all; this one only without `skipme`."""
        kinds = ("normal", "master", "slave", "replica", "pubsub")
        if _type is not None and str(_type).lower() not in kinds:
            raise DataError(f"CLIENT KILL type must be one of {kinds!r}")
        if skipme is not None and not isinstance(skipme, bool):
            raise DataError("CLIENT KILL skipme must be a bool")
        me = None if skipme is None else "YES" if skipme else "NO"
        words = options(TYPE=_type, SKIPME=me, ID=_id, ADDR=addr, LADDR=laddr, USER=user, MAXAGE=maxage)
        if not words:
            raise DataError("CLIENT KILL must specify at least one filter")
        return self.execute_command("CLIENT KILL", *words, **kwargs)

    def client_getname(self, **kwargs: Any) -> Any:
        """This connection's name, None if it has none."""
        return self.execute_command("CLIENT GETNAME", **kwargs)

    def client_setname(self, name: str, **kwargs: Any) -> bool:
        """True, when this connection has that name; `Redis(client_name=...)` is the way to it."""
        return self.execute_command("CLIENT SETNAME", name, **kwargs)

    def client_setinfo(self, attr: str, value: str, **kwargs: Any) -> bool:
        """True, when this connection's LIB-NAME or LIB-VER is set."""
        return self.execute_command("CLIENT SETINFO", attr, value, **kwargs)

    def client_getredir(self, **kwargs: Any) -> int:
        """The connection that gets this one's invalidations; 0 for itself, -1 for none."""
        return self.execute_command("CLIENT GETREDIR", **kwargs)

    def client_reply(self, reply: Literal["ON", "OFF", "SKIP"], **kwargs: Any) -> Any:
        """Refused: replies that never come cannot be told from a broken connection."""
        kinds = ["ON", "OFF", "SKIP"]
        if reply not in kinds:
            raise DataError(f"CLIENT REPLY must be one of {kinds!r}")
        return self.execute_command("CLIENT REPLY", reply, **kwargs)

    def client_tracking_on(
        self,
        clientid: int | None = None,
        prefix: Sequence[Key] = [],
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> Any:
        """As `client_tracking`."""
        return self.client_tracking(True, clientid, prefix, bcast, optin, optout, noloop)

    def client_tracking_off(
        self,
        clientid: int | None = None,
        prefix: Sequence[Key] = [],
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
    ) -> Any:
        """As `client_tracking` with `on=False`."""
        return self.client_tracking(False, clientid, prefix, bcast, optin, optout, noloop)

    def client_tracking(
        self,
        on: bool = True,
        clientid: int | None = None,
        prefix: Sequence[Key] = [],
        bcast: bool = False,
        optin: bool = False,
        optout: bool = False,
        noloop: bool = False,
        **kwargs: Any,
    ) -> Any:
        """OK, when the server tells this connection, or `clientid`, of changes to what it has read.

        `bcast`: to all keys with one of the prefixes instead. `optin`, `optout`: only after, or not after,
        CLIENT CACHING. `noloop`: not of its own changes. DataError for a prefix without `bcast`.
        """
        if len(prefix) != 0 and bcast is False:
            raise DataError("Prefix can only be used with bcast")
        words = ["ON" if on else "OFF", *options(REDIRECT=clientid)]
        for start in prefix:
            words += ("PREFIX", start)
        words += options(BCAST=bool(bcast), OPTIN=bool(optin), OPTOUT=bool(optout), NOLOOP=bool(noloop))
        return self.execute_command("CLIENT TRACKING", *words, **kwargs)

    def client_trackinginfo(self, **kwargs: Any) -> Any:
        """How this connection is told of changes."""
        return self.execute_command("CLIENT TRACKINGINFO", **kwargs)

    def client_unblock(self, client_id: int, error: bool = False, **kwargs: Any) -> bool:
        """Whether a blocked connection was woken, as if its time were over, or with an error."""
        return self.execute_command("CLIENT UNBLOCK", int(client_id), *options(ERROR=bool(error)), **kwargs)

    def client_pause(self, timeout: int, all: bool = True, **kwargs: Any) -> bool:
        """True, when all commands, or only writes, wait for `timeout` milliseconds."""
        if not isinstance(timeout, int):
            raise DataError("CLIENT PAUSE timeout must be an integer")
        return self.execute_command("CLIENT PAUSE", str(timeout), *options(WRITE=not all), **kwargs)

    def client_unpause(self, **kwargs: Any) -> Any:
        """OK, when commands go on."""
        return self.execute_command("CLIENT UNPAUSE", **kwargs)

    def client_no_evict(self, mode: str) -> Any:
        """OK, when this connection is ("ON") spared if clients take too much memory."""
        return self.execute_command("CLIENT NO-EVICT", mode)

    def client_no_touch(self, mode: str) -> Any:
        """OK, when what this connection reads does not ("ON") count as used."""
        return self.execute_command("CLIENT NO-TOUCH", mode)
