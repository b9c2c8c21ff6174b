"""Calls of every method, by group: what test_commands_compat.py compares."""

from __future__ import annotations

from typing import Any

from . import arrays, core, geo, scripting, sorted_sets, streams, topology
from .base import Call

GROUPS: tuple[Any, ...] = (core, sorted_sets, streams, geo, arrays, scripting, topology)

SETUP: list[str] = [line for group in GROUPS for line in group.SETUP]  # commands before each call
CALLS: list[Call] = [each for group in GROUPS for each in group.CALLS]
ERRORS: list[Call] = [
    each for group in GROUPS for each in group.ERRORS
]  # what raises before anything is sent
# The callback's name and options, and the replies of RESP2 and RESP3, which no server at hand gives.
REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [each for group in GROUPS for each in group.REPLIES]
WORDS_ONLY: set[str] = set().union(*(group.WORDS_ONLY for group in GROUPS))  # not sent to a server
