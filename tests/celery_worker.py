"""A Celery worker on greenredis, as a process of its own, and a producer of tasks for it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import environment  # type: ignore[import-not-found]

RUN = [sys.executable, "-m", "greenredis", "run"]
APP = """
import json, os, random
import gevent
from celery import Celery

url = os.environ["REDIS_URL"]
app = Celery("app", broker=url, backend=url)
app.conf.broker_connection_retry_on_startup = True
options = json.loads(os.environ["TRANSPORT_OPTIONS"])
app.conf.broker_transport_options = app.conf.result_backend_transport_options = options

@app.task
def add(a, b):
    gevent.sleep(random.random() / 100)
    return a + b

@app.task
def total_of(numbers):
    return sum(numbers)

@app.task
def fail(text):
    raise ValueError(text)

@app.task
def classes():
    import kombu.transport.redis as kombu, redis
    found = (redis.Redis, kombu.redis.Redis, kombu.client.Pipeline, app.backend.client)
    return [each.__module__ for each in found]
"""
PRODUCE = """
import json, os, sys, traceback
from app import add, classes, fail, total_of
from celery import chord, group

def produce(count):
    results = group(add.s(number, number) for number in range(count))()
    assert results.get(timeout=40) == [2 * number for number in range(count)]
    total = chord([add.s(number, 1) for number in range(10)])(total_of.s())
    assert total.get(timeout=20) == 55
    error = fail.delay("as told").get(propagate=False, timeout=20)
    print(json.dumps({"classes": classes.delay().get(timeout=20), "error": repr(error)}), flush=True)

status = 1
try:
    produce(int(sys.argv[1]))
    status = 0
except Exception:
    traceback.print_exc()
finally:
    os._exit(status)  # at the interpreter's end Celery's finalizers complain that their greenlets are gone
"""


class Worker:
    """A worker's process, with its log."""

    def __init__(self, folder: Path, url: str, **transport_options: str) -> None:
        self.folder = folder
        (folder / "app.py").write_text(APP)
        (folder / "produce.py").write_text(PRODUCE)
        self.environment = environment(REDIS_URL=url, TRANSPORT_OPTIONS=json.dumps(transport_options))
        self.log = folder / "worker.log"
        words = ["--", "celery", "-A", "app", "worker", "-P", "gevent", "-c", "100", "-l", "warning"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*RUN, *words], cwd=folder, env=self.environment, stdout=log, stderr=log
            )

    def produce(self, count: int) -> Any:
        """What a producer tells, after so many tasks whose results were right."""
        line = [*RUN, "produce.py", str(count)]
        done = subprocess.run(
            line, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=55
        )
        assert done.returncode == 0, done.stderr + self.log.read_text()
        assert self.process.poll() is None, self.log.read_text()
        return json.loads(done.stdout)


@contextlib.contextmanager
def worker(folder: Path, url: str, **transport_options: str) -> Iterator[Worker]:
    """A worker at work, killed at the end of the block."""
    found = Worker(folder, url, **transport_options)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
