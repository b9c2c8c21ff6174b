"""Real servers, proxies that inject faults, scripted servers and watchers, for tests of greenredis's users.

Nothing here patches anything, and all of it works with and without gevent's monkey patching.
"""

from __future__ import annotations

from .lateness import MachineLateness, Ticker, on_quiet_machine, open_descriptors, wait_until
from .process import ComponentNotFound, Process, ProcessFailed, free_port
from .scripted import FullListener, ScriptedClient, ScriptedServer
from .sentinels import SentinelDeployment, SentinelServer, SwitchObserver
from .servers import (
    Server,
    ServerNotFound,
    client_list,
    find_redis,
    find_redis8,
    find_server,
    find_valkey,
    has_tls,
)
from .tls import Certificates, TlsTerminator, make_certificates
from .toxiproxy import Proxy, Toxiproxy, ToxiproxyError, ToxiproxyNotFound, find_toxiproxy

__all__ = [
    "Certificates",
    "ComponentNotFound",
    "FullListener",
    "MachineLateness",
    "Process",
    "ProcessFailed",
    "Proxy",
    "ScriptedClient",
    "ScriptedServer",
    "SentinelDeployment",
    "SentinelServer",
    "Server",
    "ServerNotFound",
    "SwitchObserver",
    "Ticker",
    "TlsTerminator",
    "Toxiproxy",
    "ToxiproxyError",
    "ToxiproxyNotFound",
    "client_list",
    "find_redis",
    "find_redis8",
    "find_server",
    "find_toxiproxy",
    "find_valkey",
    "free_port",
    "has_tls",
    "make_certificates",
    "on_quiet_machine",
    "open_descriptors",
    "wait_until",
]
