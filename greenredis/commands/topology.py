"""Administration of a cluster's nodes and of sentinels."""

from __future__ import annotations

import warnings
from typing import Any

from .options import Commands


class ClusterCommands(Commands):
    def cluster(self, cluster_arg: str, *args: Any, **kwargs: Any) -> Any:
        """The reply to a CLUSTER command: `cluster("info")`."""
        return self.execute_command(f"CLUSTER {cluster_arg.upper()}", *args, **kwargs)

    def readwrite(self, **kwargs: Any) -> bool:
        """True, when a replica redirects this connection's reads to its master again."""
        return self.execute_command("READWRITE", **kwargs)

    def readonly(self, **kwargs: Any) -> bool:
        """True, when a replica answers this connection's reads."""
        return self.execute_command("READONLY", **kwargs)


class SentinelCommands(Commands):
    """For a client of a sentinel. One client asks one sentinel, so `return_responses` changes nothing."""

    def sentinel(self, *args: Any) -> None:
        """Does nothing but warn; there is a method for each of SENTINEL's commands."""
        warnings.warn("Use the individual sentinel_* methods", DeprecationWarning, stacklevel=2)

    def sentinel_get_master_addr_by_name(self, service_name: Any, return_responses: bool = False) -> Any:
        """Host and port of the master; None if the sentinel does not know the name."""
        return self.execute_command(
            "SENTINEL GET-MASTER-ADDR-BY-NAME", service_name, once=True, return_responses=return_responses
        )

    def sentinel_master(self, service_name: Any, return_responses: bool = False) -> Any:
        """The master's state."""
        return self.execute_command("SENTINEL MASTER", service_name, return_responses=return_responses)

    def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        """The state of each master, by its name."""
        return self.execute_command("SENTINEL MASTERS")

    def sentinel_sentinels(self, service_name: Any, return_responses: bool = False) -> Any:
        """The state of each of the other sentinels that watch the master."""
        return self.execute_command("SENTINEL SENTINELS", service_name, return_responses=return_responses)

    def sentinel_slaves(self, service_name: Any) -> list[dict[str, Any]]:
        """The state of each of the master's replicas."""
        return self.execute_command("SENTINEL SLAVES", service_name)

    def sentinel_monitor(self, name: Any, ip: Any, port: Any, quorum: Any) -> bool:
        """True, when the sentinel watches the master there, which is down if `quorum` sentinels say so."""
        return self.execute_command("SENTINEL MONITOR", name, ip, port, quorum)

    def sentinel_remove(self, name: Any) -> bool:
        """True, when the sentinel does not watch that master any more."""
        return self.execute_command("SENTINEL REMOVE", name)

    def sentinel_set(self, name: Any, option: Any, value: Any) -> bool:
        """True, after changing a setting of that master's watch."""
        return self.execute_command("SENTINEL SET", name, option, value)

    def sentinel_reset(self, pattern: Any) -> bool:
        """Forgets replicas, sentinels and failovers of the masters that match.

        The sentinel answers with their number, which is given as False, as in redis-py.
        """
        return self.execute_command("SENTINEL RESET", pattern, once=True)

    def sentinel_failover(self, new_master_name: Any) -> bool:
        """True, when a failover of that master has begun, without the other sentinels' agreement."""
        return self.execute_command("SENTINEL FAILOVER", new_master_name)

    def sentinel_ckquorum(self, new_master_name: Any) -> bool:
        """Whether a failover of that master would be possible; ResponseError if not.

        The sentinel answers with a text that begins with OK, which is given as False, as in redis-py.
        """
        return self.execute_command("SENTINEL CKQUORUM", new_master_name, once=True)

    def sentinel_flushconfig(self) -> bool:
        """True, when the sentinel has written its settings and state to its file."""
        return self.execute_command("SENTINEL FLUSHCONFIG")
