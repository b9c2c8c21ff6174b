"""The command line: `python -m greenredis demo`, `bench`, `run`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import signal
import sys

import gevent

from . import running
from .version import __version__


def run_demo(options: argparse.Namespace) -> int:
    if options.what == "sentinel":
        from .demo_sentinel import FAULTS, demo_sentinel

        return demo_sentinel(options.fault or list(FAULTS))
    from .demo import demo

    return demo()


def run_bench(options: argparse.Namespace) -> int:
    from .bench import bench

    # It tells of every error itself: logging would tell of some on standard error, too.
    logging.getLogger("greenredis").addHandler(logging.NullHandler())
    return bench(options.url, options.greenlets, options.seconds)


def greenlets(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    with contextlib.suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")


def seconds(text: str) -> float:
    """A finite number above 0, for argparse."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def interrupt_this_greenlet() -> None:
    """Let Ctrl-C interrupt the caller, and not whichever greenlet runs just then."""
    main, loop = gevent.getcurrent(), gevent.get_hub().loop

    def ring(*_: object) -> None:
        if gevent.getcurrent() is main:
            raise KeyboardInterrupt
        loop.run_callback(main.throw, KeyboardInterrupt)

    signal.signal(signal.SIGINT, ring)


def parser() -> argparse.ArgumentParser:
    """One subcommand each; `run` is what it calls."""
    main = argparse.ArgumentParser(prog="python -m greenredis", description="greenredis's command line")
    main.add_argument("--version", action="version", version=__version__)
    commands = main.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="show on an embedded server what greenredis is for")
    demo.add_argument("what", nargs="?", choices=["sentinel"], help="sentinel: failovers under writes")
    demo.add_argument(
        "--fault", action="append", choices=["kill", "stop", "failover"], help=argparse.SUPPRESS
    )
    demo.set_defaults(run=run_demo)
    bench = commands.add_parser("bench", help="measure a server of yours; it deletes the keys it made")
    bench.add_argument("--url", default="redis://localhost:6379/0", help="default: %(default)s")
    bench.add_argument("--greenlets", type=greenlets, default=200, help="default: %(default)s")
    bench.add_argument("--seconds", type=seconds, default=3, help="for each line; default: %(default)s")
    bench.set_defaults(run=run_bench)
    about = "run a Python program with gevent's patching, and greenredis in redis-py's place"
    commands.add_parser("run", help=about, description=about, usage=running.USAGE)
    return main


def main() -> int:
    if sys.argv[1:2] == ["run"] and sys.argv[2:3] not in (["-h"], ["--help"]):
        return running.run(sys.argv[2:])  # whose words are another program's
    options = parser().parse_args()
    interrupt_this_greenlet()
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has no reader
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
