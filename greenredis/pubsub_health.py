"""When a subscribed connection is to be asked whether it lives, and when it must have answered."""

from __future__ import annotations

from collections import deque
from typing import Any

_NEVER = float("inf")


class Health:
    """The PINGs of one connection; those of a socket that was closed count no more."""

    def __init__(self) -> None:
        self._sock: Any = None
        self._dues: deque[float] = deque()  # one for each PING that has no answer yet

    def is_ping_due(self, connection: Any, now: float) -> bool:
        """Whether nothing was read, nor asked, for `health_check_interval` seconds."""
        return bool(connection.health_check_interval) and now > connection.next_health_check

    def asked(self, connection: Any, now: float) -> None:
        """A PING was sent: the answer is due in `socket_timeout`, or the interval where there is none."""
        if self._sock is not connection._sock:
            self._sock = connection._sock
            self._dues.clear()
        self._dues.append(now + (connection.socket_timeout or connection.health_check_interval))

    def answered(self) -> None:
        """The first of the PINGs has been answered."""
        if self._dues:
            self._dues.popleft()

    def due(self, connection: Any) -> float:
        """When an answer must have come; infinity if none is due."""
        return self._dues[0] if self._dues and self._sock is connection._sock else _NEVER

    def patience(self, connection: Any, now: float, until: float | None) -> float | None:
        """Seconds to wait for a reply until something else is due; None if nothing is."""
        end = min(self.due(connection), _NEVER if until is None else until)
        if connection.health_check_interval:
            end = min(end, connection.next_health_check)
        return None if end == _NEVER else max(0.0, end - now)
