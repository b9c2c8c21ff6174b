"""Script: a Lua script that is called as a function is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from gevent import get_hub
from gevent.event import Event

from . import deadlines
from .exceptions import NoScriptError, RedisError, TimeoutError
from .protocol import Word


class Script:
    """A Lua script that travels as its SHA1, `sha`, and is loaded by the server that does not hold it.

    Any number of greenlets may call it.  Those that find it missing at the same time share one load.
    """

    def __init__(self, registered_client: Any, script: str | bytes) -> None:
        self.registered_client = registered_client
        self.script = script
        self._source: bytes = self.get_encoder().encode(script) if isinstance(script, str) else script
        self.sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sha}>"

    def __call__(
        self, keys: Sequence[Word] | None = None, args: Iterable[Word] | None = None, client: Any = None
    ) -> Any:
        """What the script returns, run on `client`, or else on the one that it was registered with.

        In a pipeline it is queued, and the pipeline sees to it that the server holds the script.  Raises
        ConnectionError or TimeoutError, whose `maybe_executed` tells whether the script may have run.
        """
        names = tuple(keys or ())
        words = (len(names), *names, *(args or ()))
        client = self.registered_client if client is None else client
        scripts = getattr(client, "scripts", None)
        if isinstance(scripts, set):
            scripts.add(self)
        try:
            return client.evalsha(self.sha, *words)
        except NoScriptError:
            pass  # which says that nothing was executed, so it can be sent again
        _load(client, self._source, self.sha)
        try:
            return client.evalsha(self.sha, *words)
        except NoScriptError:
            pass  # forgotten again, or another server answered than the one that has loaded it
        return client.eval(self._source, *words)

    def get_encoder(self) -> Any:
        """What encodes the script's text."""
        return self.registered_client.get_encoder()


class _Load:
    """A SCRIPT LOAD under way, and whether it was a success."""

    def __init__(self) -> None:
        self.ended = Event()
        self.succeeded = False


# By process, hub, pool and SHA1: a load in another process, or for another server, is of no use.
_loads: dict[tuple[int, ...], _Load] = {}


def _load(client: Any, source: bytes, sha: str) -> None:
    """Load the script, or wait for who does so already; after his failure everyone does it for himself."""
    key = (os.getpid(), id(get_hub()), id(getattr(client, "connection_pool", client)), int(sha, 16))
    other = _loads.get(key)
    if other is not None and _succeeds(other):
        return
    own = _loads[key] = _Load()
    try:
        client.script_load(source)
        own.succeeded = True
    except RedisError as error:
        error.maybe_executed = False  # the script, which is what the caller asked for
        raise
    finally:
        if _loads.get(key) is own:
            del _loads[key]
        own.ended.set()


def _succeeds(load: _Load) -> bool:
    """Whether another's load succeeds; TimeoutError at this greenlet's deadline."""
    until = deadlines.current()
    if not load.ended.wait(None if until is None else max(0.0, until - monotonic())):
        raise TimeoutError("the script was not loaded by the deadline")
    return load.succeeded
