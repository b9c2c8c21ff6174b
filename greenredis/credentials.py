"""Where a connection gets its user name and password from."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

# In the order of AUTH: (password,) or (username, password).
Credentials = tuple[str] | tuple[str, str]


class CredentialProvider:
    """Asked for credentials whenever a connection is opened, in the greenlet that opens it."""

    def get_credentials(self) -> Credentials:
        """`(password,)` or `(username, password)`; every subclass has its own."""
        raise NotImplementedError(f"{type(self).__name__} must implement get_credentials()")

    async def get_credentials_async(self) -> Credentials:
        """What get_credentials() gives, for providers shared with an asyncio client."""
        return self.get_credentials()


class StreamingCredentialProvider(CredentialProvider, abc.ABC):
    """A provider that also announces new credentials by itself, upon which connections authenticate again."""

    @abc.abstractmethod
    def on_next(self, callback: Callable[[Any], None]) -> None:
        """Have `callback(token)` called with each new token, possibly from another thread."""

    @abc.abstractmethod
    def on_error(self, callback: Callable[[Exception], None]) -> None:
        """Have `callback(error)` called when no new token could be obtained."""

    @abc.abstractmethod
    def is_streaming(self) -> bool:
        """Whether tokens are being announced now."""


class UsernamePasswordCredentialProvider(CredentialProvider):
    """The same user name and password every time; without a user name, the password alone."""

    def __init__(self, username: str | None = None, password: str | None = None) -> None:
        self.username = username or ""
        self.password = password or ""

    def get_credentials(self) -> Credentials:
        return (self.username, self.password) if self.username else (self.password,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
