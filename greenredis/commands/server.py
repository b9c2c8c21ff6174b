"""The server itself."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, NoReturn

from ..exceptions import ConnectionError, DataError, RedisError
from .acl import AclCommands
from .connections import ConnectionCommands
from .options import Key, Pattern, Word, options


class HotkeysMetricsTypes(Enum):
    """What `hotkeys_start` measures."""

    CPU = "CPU"
    NET = "NET"


class ServerCommands(ConnectionCommands, AclCommands):
    # -- facts

    def info(self, section: str | None = None, *args: str, **kwargs: Any) -> dict[str, Any]:
        """The server's state: the usual sections, or those named."""
        if section is None:
            return self.execute_command("INFO", **kwargs)
        return self.execute_command("INFO", section, *args, **kwargs)

    def dbsize(self, **kwargs: Any) -> int:
        """How many keys there are."""
        return self.execute_command("DBSIZE", **kwargs)

    def time(self, **kwargs: Any) -> tuple[int, int]:
        """The server's time: Unix seconds, and microseconds."""
        return self.execute_command("TIME", **kwargs)

    def lastsave(self, **kwargs: Any) -> datetime:
        """When the data was last saved, in local time."""
        return self.execute_command("LASTSAVE", **kwargs)

    def role(self) -> list[Any]:
        """Master, slave or sentinel, and what the server says of that."""
        return self.execute_command("ROLE")

    def lolwut(self, *version_numbers: str | float, **kwargs: Any) -> Any:
        """A piece of art."""
        if version_numbers:
            return self.execute_command("LOLWUT VERSION", *version_numbers, **kwargs)
        return self.execute_command("LOLWUT", **kwargs)

    def object(self, infotype: str, key: Key, **kwargs: Any) -> Any:
        """ENCODING, FREQ, IDLETIME or REFCOUNT of a key, None if there is none."""
        return self.execute_command("OBJECT", infotype, key, **kwargs)

    def debug_object(self, key: Key, **kwargs: Any) -> dict[str, Any]:
        """What the server knows of the key's value."""
        return self.execute_command("DEBUG OBJECT", key, **kwargs)

    def debug_segfault(self, **kwargs: Any) -> None:
        """Not offered: it kills the server."""
        _not_offered("DEBUG SEGFAULT")

    # -- settings

    def config_get(self, pattern: Pattern = "*", *args: Pattern, **kwargs: Any) -> dict[str, Any]:
        """The settings that match."""
        return self.execute_command("CONFIG GET", pattern, *args, **kwargs)

    def config_set(self, name: Key, value: Word, *args: Word, **kwargs: Any) -> bool:
        """True, after changing one setting, or more: name, value, name ..."""
        return self.execute_command("CONFIG SET", name, value, *args, **kwargs)

    def config_resetstat(self, **kwargs: Any) -> bool:
        """True, after setting the statistics of `info` to zero."""
        return self.execute_command("CONFIG RESETSTAT", **kwargs)

    def config_rewrite(self, **kwargs: Any) -> Any:
        """OK, after writing the settings to the server's file."""
        return self.execute_command("CONFIG REWRITE", **kwargs)

    # -- data

    def flushall(self, asynchronous: bool = False, **kwargs: Any) -> bool:
        """True, after deleting all keys of all databases, or by `asynchronous` soon."""
        return self.execute_command("FLUSHALL", *options(ASYNC=bool(asynchronous)), **kwargs)

    def flushdb(self, asynchronous: bool = False, **kwargs: Any) -> bool:
        """True, after deleting all keys of this database, or by `asynchronous` soon."""
        return self.execute_command("FLUSHDB", *options(ASYNC=bool(asynchronous)), **kwargs)

    def swapdb(self, first: int, second: int, **kwargs: Any) -> bool:
        """True, after exchanging two databases."""
        return self.execute_command("SWAPDB", first, second, **kwargs)

    def save(self, **kwargs: Any) -> bool:
        """True, after saving the data. Holds up the server."""
        return self.execute_command("SAVE", **kwargs)

    def bgsave(self, schedule: bool = True, **kwargs: Any) -> Any:
        """True, when saving has begun, or by `schedule` will begin, in the background."""
        return self.execute_command("BGSAVE", *options(SCHEDULE=bool(schedule)), **kwargs)

    def bgrewriteaof(self, **kwargs: Any) -> Any:
        """True, when rewriting the append-only file has begun."""
        return self.execute_command("BGREWRITEAOF", **kwargs)

    # -- memory

    def memory_usage(self, key: Key, samples: int | None = None, **kwargs: Any) -> int | None:
        """The bytes that key and value take, by `samples` nested elements (0: all); None if there is none."""
        words = ["SAMPLES", samples] if isinstance(samples, int) else []
        return self.execute_command("MEMORY USAGE", key, *words, **kwargs)

    def memory_stats(self, **kwargs: Any) -> dict[str, Any]:
        """Where the server's memory goes."""
        return self.execute_command("MEMORY STATS", **kwargs)

    def memory_malloc_stats(self, **kwargs: Any) -> Any:
        """The allocator's own report."""
        return self.execute_command("MEMORY MALLOC-STATS", **kwargs)

    def memory_purge(self, **kwargs: Any) -> bool:
        """True, after giving free memory back to the system."""
        return self.execute_command("MEMORY PURGE", **kwargs)

    def memory_doctor(self, **kwargs: Any) -> None:
        """Not offered: a text for people."""
        _not_offered("MEMORY DOCTOR")

    def memory_help(self, **kwargs: Any) -> None:
        """Not offered: a text for people."""
        _not_offered("MEMORY HELP")

    # -- what was slow

    def slowlog_get(self, num: int | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """The last slow commands, `num` of them; with bytes even where replies are decoded."""
        words = [] if num is None else [num]
        kwargs["NEVER_DECODE"] = True
        return self.execute_command("SLOWLOG GET", *words, **kwargs)

    def slowlog_len(self, **kwargs: Any) -> int:
        """How many slow commands are kept."""
        return self.execute_command("SLOWLOG LEN", **kwargs)

    def slowlog_reset(self, **kwargs: Any) -> bool:
        """True, after forgetting the slow commands."""
        return self.execute_command("SLOWLOG RESET", **kwargs)

    def latency_history(self, event: str) -> list[list[int]]:
        """When the event was slow, and how slow in milliseconds."""
        return self.execute_command("LATENCY HISTORY", event)

    def latency_latest(self) -> list[list[Any]]:
        """The last and the worst latency of each event."""
        return self.execute_command("LATENCY LATEST")

    def latency_reset(self, *events: str) -> int:
        """How many events' latencies were forgotten."""
        return self.execute_command("LATENCY RESET", *events)

    def latency_doctor(self) -> None:
        """Not offered: a text for people."""
        _not_offered("LATENCY DOCTOR")

    def latency_graph(self) -> None:
        """Not offered: a picture for people."""
        _not_offered("LATENCY GRAPH")

    def latency_histogram(self, *args: Any) -> None:
        """Not offered, as in redis-py."""
        _not_offered("LATENCY HISTOGRAM")

    def hotkeys_start(
        self,
        metrics: list[HotkeysMetricsTypes],
        count: int | None = None,
        duration: int | None = None,
        sample_ratio: int | None = None,
        slots: list[int] | None = None,
        **kwargs: Any,
    ) -> Any:
        """OK, when the server measures which keys are used most, for `duration` seconds."""
        words: list[Any] = ["METRICS", len(metrics), *(str(metric.value) for metric in metrics)]
        words += options(COUNT=count, DURATION=duration, SAMPLE=sample_ratio)
        if slots is not None:
            words += ("SLOTS", len(slots), *slots)
        return self.execute_command("HOTKEYS", "START", *words, **kwargs)

    def hotkeys_stop(self, **kwargs: Any) -> Any:
        """OK, when measuring has stopped; None if it had not begun."""
        return self.execute_command("HOTKEYS STOP", **kwargs)

    def hotkeys_reset(self, **kwargs: Any) -> Any:
        """OK, after forgetting what was measured."""
        return self.execute_command("HOTKEYS RESET", **kwargs)

    def hotkeys_get(self, **kwargs: Any) -> Any:
        """What was measured."""
        return self.execute_command("HOTKEYS GET", **kwargs)

    # -- commands

    def command(self, **kwargs: Any) -> dict[str, dict[str, Any]]:
        """What the server says of each command."""
        return self.execute_command("COMMAND", **kwargs)

    def command_count(self, **kwargs: Any) -> int:
        """How many commands there are."""
        return self.execute_command("COMMAND COUNT", **kwargs)

    def command_list(
        self, module: str | None = None, category: str | None = None, pattern: str | None = None
    ) -> list[Any]:
        """The names of the commands, of a module, of an ACL category, or those that match."""
        words = options(MODULE=module, ACLCAT=category, PATTERN=pattern)
        return self.execute_command("COMMAND LIST", *(["FILTERBY", *words] if words else []))

    def command_getkeys(self, *args: Any) -> list[Any]:
        """The keys among the words of a command."""
        return self.execute_command("COMMAND GETKEYS", *args)

    def command_getkeysandflags(self, *args: str) -> list[Any]:
        """The keys among the words of a command, and what it does with each."""
        return self.execute_command("COMMAND GETKEYSANDFLAGS", *args)

    def command_info(self, **kwargs: Any) -> None:
        """Not offered; `command` has it all."""
        _not_offered("COMMAND INFO")

    def command_docs(self, *args: Any) -> None:
        """Not offered, as in redis-py."""
        _not_offered("COMMAND DOCS")

    # -- replication

    def replicaof(self, *args: Any, **kwargs: Any) -> Any:
        """OK, when the server follows that host and port, or "NO", "ONE"."""
        return self.execute_command("REPLICAOF", *args, **kwargs)

    def slaveof(self, host: str | None = None, port: int | None = None, **kwargs: Any) -> bool:
        """True, when the server follows that host and port, or nobody."""
        if host is None and port is None:
            return self.execute_command("SLAVEOF", "NO", "ONE", **kwargs)
        return self.execute_command("SLAVEOF", host, port, **kwargs)

    def sync(self) -> bytes:
        """Refused: makes a replica of the connection."""
        return self.execute_command("SYNC", NEVER_DECODE=True)

    def psync(self, replicationid: str, offset: int) -> bytes:
        """Refused: makes a replica of the connection."""
        return self.execute_command("PSYNC", replicationid, offset, NEVER_DECODE=True)

    def wait(self, num_replicas: int, timeout: int, **kwargs: Any) -> int:
        """How many replicas have what was written, waiting up to `timeout` milliseconds (0: for ever).

        Redis counts what its own connection wrote, so an empty message is published to the channel
        `greenredis:wait` first: the user needs the right to do so, or NoPermissionError is raised.
        """
        return self.execute_command("WAIT", num_replicas, timeout, **kwargs)

    def waitaof(self, num_local: int, num_replicas: int, timeout: int, **kwargs: Any) -> list[int]:
        """How many servers, this one and replicas, have on disk what this connection wrote; as `wait`."""
        return self.execute_command("WAITAOF", num_local, num_replicas, timeout, **kwargs)

    def failover(self) -> None:
        """Not offered, as in redis-py; `execute_command("FAILOVER", ...)` does it."""
        _not_offered("FAILOVER")

    def shutdown(
        self,
        save: bool = False,
        nosave: bool = False,
        now: bool = False,
        force: bool = False,
        abort: bool = False,
        **kwargs: Any,
    ) -> None:
        """Returns when the server has closed the connection; RedisError if it answers instead."""
        if save and nosave:
            raise DataError("SHUTDOWN save and nosave cannot both be set")
        words = options(SAVE=bool(save), NOSAVE=bool(nosave), NOW=bool(now), FORCE=bool(force))
        try:
            self.execute_command("SHUTDOWN", *words, *options(ABORT=bool(abort)), **kwargs)
        except ConnectionError:
            return
        raise RedisError("SHUTDOWN seems to have failed.")


def _not_offered(name: str) -> NoReturn:
    raise NotImplementedError(f"{name} is intentionally not implemented in the client.")
