"""Replies to commands that are written as one piece."""

from __future__ import annotations

from typing import Any


class Batch:
    """Collects the replies to commands that are written as one piece, for one caller."""

    __slots__ = ("caller", "missing", "replies")

    def __init__(self, caller: Any, count: int) -> None:
        self.caller = caller
        self.missing = count
        self.replies: list[Any] = []

    def switch(self, reply: Any) -> None:
        """Take a reply; with the last one the caller goes on."""
        self.replies.append(reply)
        self.missing -= 1
        if not self.missing and self.caller is not None:
            self.caller.switch(self.replies)

    def throw(self, error: BaseException) -> None:
        """Tell the caller, once."""
        caller, self.caller = self.caller, None
        if caller is not None:
            caller.throw(error)
