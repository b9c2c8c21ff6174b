"""Pipelines and transactions cut at every byte of their replies: all of them or an error, and never twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenredis import Redis, WatchError
from greenredis.client import Pipeline
from greenredis.exceptions import ConnectionError, InvalidResponse, TimeoutError
from greenredis.testing import Proxy, Server

BROKEN = (ConnectionError, TimeoutError, InvalidResponse)
pytestmark = pytest.mark.usefixtures("leaks")


def stage(pipe: Pipeline, key: str) -> Pipeline:
    """An increment behind a read and before a long reply."""
    pipe.get("cut:none")
    pipe.incr(key)
    pipe.get("cut:long")
    return pipe


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BROKEN as error:
        return error


@pytest.mark.parametrize("multiplex", [True, False], ids=["link", "pool"])
@pytest.mark.parametrize("transaction", [True, False], ids=["transaction", "pipeline"])
def test_increments_are_executed_at_most_once(
    server: Server, proxy: Proxy, multiplex: bool, transaction: bool
) -> None:
    server.ask("SET", "cut:long", "x" * 30)
    at = 0
    found: Any = None
    with Redis(proxy.host, proxy.port, multiplex=multiplex) as client:
        while not isinstance(found, list):
            assert client.ping()
            with proxy.toxic("limit_data", bytes=at):
                found = outcome(stage(client.pipeline(transaction), f"cut:{at}").execute)
            if isinstance(found, list):
                assert found == [None, 1, b"x" * 30]
            else:
                assert found.maybe_executed
            assert server.ask("GET", f"cut:{at}") in (b"1", None if at == 0 else b"1")
            at += 1
    assert at > 40


def test_a_watched_transaction_is_executed_at_most_once(server: Server, proxy: Proxy) -> None:
    """Cut in WATCH or in what is read after it, it may begin again; cut in EXEC, it may not."""
    at = 0
    found: Any = None
    with Redis(proxy.host, proxy.port, multiplex=False, retry=None) as client:
        while not isinstance(found, list):
            key, begun = f"cut:{at}", 0
            assert client.ping()
            with proxy.toxic("limit_data", bytes=at):
                pipe = client.pipeline()
                try:
                    pipe.watch(key)
                    begun = 1
                    pipe.get(key)
                    begun = 2
                    pipe.multi()
                    found = stage(pipe, key).execute()
                except (WatchError, *BROKEN) as error:
                    found = error
                finally:
                    pipe.reset()
            if not isinstance(found, list):
                assert isinstance(found, WatchError) == (begun == 1), f"cut at {at}"
                assert begun == 1 or found.maybe_executed
            assert server.ask("GET", key) in ((b"1", None) if begun == 2 else (None,)), f"cut at {at}"
            at += 1
    assert at > 40
