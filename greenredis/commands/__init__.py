"""Commands by group: hand-written methods that turn their arguments into words."""

from __future__ import annotations

from .hashes import HashCommands
from .keys import KeyCommands
from .lists import ListCommands
from .server import ServerCommands
from .sets import SetCommands
from .strings import StringCommands


class CoreCommands(StringCommands, KeyCommands, HashCommands, ListCommands, SetCommands, ServerCommands):
    """All groups; whoever inherits them has `execute_command`."""


__all__ = [
    "CoreCommands",
    "HashCommands",
    "KeyCommands",
    "ListCommands",
    "ServerCommands",
    "SetCommands",
    "StringCommands",
]
