"""Sentinel: clients that follow a master wherever its sentinels say that it is."""

from ..exceptions import MasterNotFoundError, ReplicaNotFoundError, SlaveNotFoundError
from .events import Switch, Switches
from .pool import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection
from .sentinel import Sentinel

__all__ = [
    "MasterNotFoundError",
    "ReplicaNotFoundError",
    "Sentinel",
    "SentinelConnectionPool",
    "SentinelManagedConnection",
    "SentinelManagedSSLConnection",
    "SlaveNotFoundError",
    "Switch",
    "Switches",
]
