"""The SSLContext of a pool: made once, in a thread, since it takes 20 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

from ..config import ssl_context
from ..exceptions import ConnectionError

if TYPE_CHECKING:
    import ssl


class TlsContext:
    """Makes the context of `options` when it is first asked for; all who ask meanwhile share it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._made: ssl.SSLContext | None = None
        self._making: dict[Any, Any] = {}  # by hub: what a thread is about to give

    def get(self) -> ssl.SSLContext:
        """The context. Raises ConnectionError for what OpenSSL or the file system refuses."""
        if self._made is None:
            hub = get_hub()
            making = self._making.get(hub)
            if making is None:
                making = self._making[hub] = hub.threadpool.spawn(_made_or_refused, self._options)
            try:
                made = making.get()
            finally:
                self._making.pop(hub, None)
            if isinstance(made, OSError):
                raise ConnectionError(f"{type(made).__name__} in the options of TLS: {made}") from made
            if isinstance(made, Exception):
                raise made
            self._made = made
        return self._made  # type: ignore[return-value]


def _made_or_refused(options: dict[str, Any]) -> Any:
    """The context, or the error, which a thread would report at once were it raised there."""
    try:
        return ssl_context(options)
    except Exception as error:
        return error
