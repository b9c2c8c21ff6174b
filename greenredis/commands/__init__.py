"""Commands by group: hand-written methods that turn their arguments into words."""

from __future__ import annotations

from .arrays import ArrayCommands
from .functions import FunctionCommands
from .geo import GeoCommands
from .hashes import HashCommands
from .hyperloglog import HyperlogCommands
from .keys import KeyCommands
from .lists import ListCommands
from .messages import PubSubCommands
from .scripting import ScriptCommands
from .server import ServerCommands
from .server_modules import ModuleCommands
from .sets import SetCommands
from .sorted_sets import SortedSetCommands
from .streams import StreamCommands
from .strings import StringCommands
from .topology import ClusterCommands, SentinelCommands


class CoreCommands(
    StringCommands,
    KeyCommands,
    HashCommands,
    ListCommands,
    SetCommands,
    SortedSetCommands,
    StreamCommands,
    GeoCommands,
    HyperlogCommands,
    ArrayCommands,
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
    "ArrayCommands",
    "ClusterCommands",
    "CoreCommands",
    "FunctionCommands",
    "GeoCommands",
    "HashCommands",
    "HyperlogCommands",
    "KeyCommands",
    "ListCommands",
    "ModuleCommands",
    "PubSubCommands",
    "ScriptCommands",
    "SentinelCommands",
    "ServerCommands",
    "SetCommands",
    "SortedSetCommands",
    "StreamCommands",
    "StringCommands",
]
