"""Where a server is, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .exceptions import MasterDownError, ReadOnlyError


class Address:
    """Where a server listens: `Address(host, port)` or `Address(path=...)` for a Unix socket.

    Equal by value; transports tell stale connections by identity, so two equal ones stay two.
    """

    __slots__ = ("host", "path", "port")

    def __init__(self, host: str = "", port: int = 0, path: str | None = None) -> None:
        self.host = host
        self.port = port
        self.path = path

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Address):
            return NotImplemented
        return (self.host, self.port, self.path) == (other.host, other.port, other.path)

    def __hash__(self) -> int:
        return hash((self.host, self.port, self.path))

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Address {self}>"


def address_of(options: Mapping[str, Any]) -> Address:
    """A new Address from validated options: the Unix path where given, otherwise host and port."""
    if options["path"] is not None:
        return Address(path=options["path"])
    return Address(options["host"], options["port"])


class Locator(Protocol):
    """Says where the server is now; a connection to any other Address object is stale."""

    # A property, since only the locator itself and its watchers write it.
    @property
    def address(self) -> Address | None:
        """The server's address, None while it is unknown."""

    def locate(self) -> Address:
        """The address, waiting until there is one or the caller's deadline comes."""

    def failed(self, address: Address, error: Exception) -> None:
        """Be told that a command or a dial failed at this address."""


class Fixed:
    """The locator of a server that does not move. Nothing here switches greenlets."""

    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address

    def locate(self) -> Address:
        return self.address

    def failed(self, address: Address, error: Exception) -> None:
        # The name may lead to another server since the failover, so whatever is open to it is stale.
        if address is self.address and isinstance(error, (ReadOnlyError, MasterDownError)):
            self.address = Address(address.host, address.port, address.path)

    def __repr__(self) -> str:
        return f"<Fixed {self.address}>"
