"""Celery and Kombu, unchanged, on greenredis: a worker with Redis as broker and result backend."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from celery_worker import worker  # type: ignore[import-not-found]
from processes import PATCH, need, run  # type: ignore[import-not-found]

from greenredis.testing import Certificates, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need("celery")
    return tmp_path


@pytest.mark.slow
def test_a_worker_runs_a_thousand_tasks(folder: Path, server: Server) -> None:
    with worker(folder, server.url) as found:
        told = found.produce(1000)
        assert told["error"] == "ValueError('as told')"
        assert all(module.startswith("greenredis.client") for module in told["classes"]), told
        names = server.ask("CLIENT", "LIST").decode().split("\n")
        assert not [line for line in names if "lib-name=redis-py" in line]
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(20) == 0, found.log.read_text()
    log = found.log.read_text()
    assert log.count("Traceback") == 1 and "PatchWarning" not in log, log  # of the task that fails


@pytest.mark.slow
def test_a_worker_survives_the_loss_of_its_connections(folder: Path, server: Server) -> None:
    with worker(folder, server.url) as found:
        found.produce(20)
        for kind in ("normal", "pubsub"):
            assert server.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") > 0
        found.produce(200)
        assert "onnection" in found.log.read_text()


KOMBU = (
    PATCH
    + """
import socket, sys, time
import kombu
from kombu import Connection, Exchange, Queue
import kombu.transport.redis as transport
assert transport.redis.Redis.__module__ == "greenredis.client"
url = f"redis://127.0.0.1:{sys.argv[1]}/0"

def drain(connection, count):
    for _ in range(50):
        if count():
            return
        try:
            connection.drain_events(timeout=1)
        except socket.timeout:
            pass
    raise AssertionError("nothing came")
"""
)


@pytest.mark.parametrize("prefix", ["", "mine:"])
def test_kombus_queues(server: Server, prefix: str) -> None:
    need("kombu")
    run(
        KOMBU
        + """
options = {"global_keyprefix": sys.argv[2], "visibility_timeout": 60, "health_check_interval": 25,
           "socket_keepalive": True, "socket_keepalive_options": {}, "max_connections": 7, "client_name": "k"}
with Connection(url, transport_options=options) as connection:
    exchange = Exchange("work", type="direct")
    queue = Queue("jobs", exchange, routing_key="jobs", max_priority=9)
    producer, got = connection.Producer(), []
    for number in range(20):
        producer.publish({"n": number}, exchange=exchange, routing_key="jobs", declare=[queue], priority=3)
    def take(body, message):
        if len(got) == 5 and not message.delivery_info.get("redelivered"):
            message.requeue()  # WATCH, MULTI, EXEC, on a pipeline of Kombu's own class
            got.append(None)
        else:
            message.ack()
            got.append(body["n"])
    with connection.Consumer([queue], callbacks=[take]) as consumer:
        consumer.qos(prefetch_count=4)
        drain(connection, lambda: len(got) >= 21)
    assert sorted(each for each in got if each is not None) == list(range(20)), got
    with connection.channel() as channel:
        assert channel._size("jobs") == 0 and channel._purge("jobs") == 0
        assert channel.client.hlen(channel.unacked_key) == 0
        channel.qos.restore_visible(interval=1)  # under a lock
    simple = connection.SimpleQueue("plain")
    simple.put("hello")
    message = simple.get(timeout=10)
    assert message.payload == "hello" and message.ack() is None
    simple.close()
""",
        server.port,
        prefix,
        warned=True,
    )
    keys = server.ask("KEYS", "*")
    assert all(key.startswith((prefix + "_kombu").encode()) for key in keys), keys


def test_kombus_fanout(server: Server) -> None:
    need("kombu")
    run(
        KOMBU
        + """
with Connection(url) as connection, Connection(url) as other:
    news, got = Exchange("news", type="fanout"), []
    def hear(body, message): got.append(body)
    with connection.Consumer([Queue("ear", news, exclusive=True)], callbacks=[hear], no_ack=True):
        try:
            connection.drain_events(timeout=0.1)  # subscribes
        except socket.timeout:
            pass
        for number in range(3):
            other.Producer().publish(number, exchange=news, routing_key="", declare=[news])
        drain(connection, lambda: len(got) == 3)
        assert got == [0, 1, 2]
        # Its own connections are lost: it notices, as an error, or by itself.
        other.default_channel.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        for _ in range(20):
            try:
                connection.drain_events(timeout=0.2)
            except (socket.timeout, *connection.connection_errors):
                pass
            other.Producer().publish("again", exchange=news, routing_key="", declare=[news])
            if "again" in got:
                break
        assert "again" in got
""",
        server.port,
        warned=True,
    )


def test_kombus_event_loop(server: Server) -> None:
    """Without gevent's patching Kombu polls the sockets itself, with epoll."""
    need("kombu")
    run(
        KOMBU
        + """
from kombu.asynchronous import Hub, set_event_loop
hub = Hub()
set_event_loop(hub)
with Connection(url) as connection:
    connection.register_with_event_loop(hub)
    got, queue = [], Queue("jobs", Exchange("work"), routing_key="jobs")
    def take(body, message):
        got.append(body)
        message.ack()
    with connection.Consumer([queue], callbacks=[take]):
        with Connection(url) as other:
            for number in range(50):
                other.Producer().publish(number, exchange=queue.exchange, routing_key="jobs")
        for _ in range(2000):
            hub.run_once() if hasattr(hub, "run_once") else next(loop)
            if len(got) == 50:
                break
    assert got == list(range(50)), got
hub.close()
""".replace("hub = Hub()", "hub = Hub(); loop = hub.create_loop()"),
        server.port,
        warned=True,
    )


def test_kombu_over_tls(tls_server: Any, certificates: Certificates) -> None:
    need("kombu")
    run(
        KOMBU
        + """
import ssl
options = {"ssl_ca_certs": sys.argv[2], "ssl_cert_reqs": ssl.CERT_REQUIRED}
with Connection(url.replace("redis:", "rediss:"), ssl=options) as connection:
    queue = connection.SimpleQueue("secret")
    for number in range(5):
        queue.put(number)
    got = [queue.get(timeout=10) for number in range(5)]
    assert [message.payload for message in got] == list(range(5))
    assert isinstance(connection.default_channel.client.connection, transport.redis.SSLConnection)
    for message in got:
        message.ack()
""",
        tls_server.port,
        certificates.ca,
        warned=True,
    )


def test_kombus_credential_provider(server: Server) -> None:
    need("kombu")
    run(
        KOMBU
        + """
provider = transport.redis.UsernamePasswordCredentialProvider("default", "any")
with Connection(url, credential_provider=provider) as connection:
    assert connection.channel().client.ping()
""",
        server.port,
        warned=True,
    )
