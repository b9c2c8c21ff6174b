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


class Located(Protocol):
    """Has a locator for each hub."""

    def here(self) -> Locator:
        """The locator of this hub."""


class Locator(Protocol):
    """Says where the server is now; a connection to any other Address object is stale.

    Only `locate` switches greenlets.
    """

    # Properties, since only the locator itself and its watchers write them.
    @property
    def address(self) -> Address | None:
        """The server's address, None while it is unknown."""

    @property
    def role(self) -> str | None:
        """What a new connection's server must be, "master" or "slave"; None: it is not asked."""

    def holds(self, address: Any) -> bool:
        """Whether a connection to this Address object may be used."""

    def pick(self) -> Address | None:
        """Where the next connection goes, at once; None while that is unknown."""

    def follow(self, share: Any) -> None:
        """From now on call `share.leave()` when the address has changed, until the share goes."""

    def unfollow(self, share: Any) -> None:
        """The share is closed: do nothing more for it, until it follows again."""

    def locate(self, seconds: float | None = None) -> Address:
        """The address, once the server can be reached.

        Waits until the caller's deadline, without one for so many seconds; then raises
        MasterNotFoundError.
        """

    def reached(self, address: Address) -> None:
        """Be told that a connection to this address was opened."""

    def unreached(self, address: Address, error: Exception) -> None:
        """Be told that opening a connection to this address failed."""

    def failed(self, address: Address, error: Exception) -> None:
        """Be told that a command failed at this address. Raises the error if no attempt will do better."""

    def explained(self, error: Exception) -> Exception:
        """What to raise to a caller whose time has ended with this error."""


class Fixed:
    """The locator of a server that does not move. Nothing here switches greenlets."""

    role: str | None = None

    def __init__(self, address: Address) -> None:
        self.address = address

    def here(self) -> Fixed:
        return self

    def follow(self, share: Any) -> None:
        pass

    def unfollow(self, share: Any) -> None:
        pass

    def holds(self, address: Any) -> bool:
        return address is self.address

    def pick(self) -> Address | None:
        return self.address

    def locate(self, seconds: float | None = None) -> Address:
        return self.address

    def reached(self, address: Address) -> None:
        pass

    def unreached(self, address: Address, error: Exception) -> None:
        pass

    def failed(self, address: Address, error: Exception) -> None:
        # The name may lead to another server since the failover, so whatever is open to it is stale.
        if address is self.address and isinstance(error, (ReadOnlyError, MasterDownError)):
            self.address = Address(address.host, address.port, address.path)

    def explained(self, error: Exception) -> Exception:
        return error

    def __repr__(self) -> str:
        return f"<Fixed {self.address}>"
