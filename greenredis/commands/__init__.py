"""Commands by group: hand-written methods that turn their arguments into words."""

from __future__ import annotations

from .functions import FunctionCommands
from .hashes import HashCommands
from .keys import KeyCommands
from .lists import ListCommands
from .messages import PubSubCommands
from .scripting import ScriptCommands
from .server import ServerCommands
from .server_modules import ModuleCommands
from .sets import SetCommands
from .strings import StringCommands
from .topology import ClusterCommands, SentinelCommands


class CoreCommands(
    StringCommands,
    KeyCommands,
    HashCommands,
    ListCommands,
    SetCommands,
    PubSubCommands,
    ScriptCommands,
    FunctionCommands,
    ServerCommands,
    ModuleCommands,
    ClusterCommands,
    SentinelCommands,
):
    """All groups; whoever inherits them has `execute_command`."""


__all__ = [
    "ClusterCommands",
    "CoreCommands",
    "FunctionCommands",
    "HashCommands",
    "KeyCommands",
    "ListCommands",
    "ModuleCommands",
    "PubSubCommands",
    "ScriptCommands",
    "SentinelCommands",
    "ServerCommands",
    "SetCommands",
    "StringCommands",
]
