"""Pipeline: a client's pipeline, which has all commands' methods."""

from __future__ import annotations

from typing import Any

from .client import Redis
from .exceptions import DataError
from .pipeline import BasePipeline


class Pipeline(BasePipeline, Redis):  # type: ignore[misc]
    """A client's pipeline. It has all commands' methods, which stage them and return the pipeline."""

    def himport_set(self, key: Any, fieldset_name: str, values: Any) -> bool:
        """Not in a pipeline, since it is several commands: call it on the client."""
        raise DataError("himport_set is several commands, so it cannot be staged: call it on the client")
