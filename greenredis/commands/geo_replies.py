"""Replies about places: positions and distances as numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .shapes import is_ok, text_list, text_pairs

Callback = Callable[..., Any]
_NOTHING = object()


def places(
    reply: Any,
    withdist: Any = False,
    withhash: Any = False,
    withcoord: Any = False,
    store: Any = _NOTHING,
    store_dist: Any = _NOTHING,
    **_: Any,
) -> Any:
    """Names, or lists of a name and what was asked for; as it came if it was stored, or sent by hand."""
    if store is _NOTHING or store or store_dist:
        return reply
    found = reply if isinstance(reply, list) else [reply]
    casts = [cast for cast, wanted in ((float, withdist), (int, withhash), (_position, withcoord)) if wanted]
    if not casts:
        return found
    return [[name, *(cast(value) for cast, value in zip(casts, rest, strict=True))] for name, *rest in found]


def _position(pair: Any) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def positions(reply: Any, shape: Callable[[Any], Any], **_: Any) -> list[Any]:
    return [None if pair is None else shape(_position(pair)) for pair in reply]


def distance(reply: Any, **_: Any) -> float | None:
    return None if reply is None else float(reply)


_ALWAYS: dict[str, Callback] = {
    "GEODIST": distance,
    "GEORADIUS": places,
    "GEORADIUSBYMEMBER": places,
    "GEOSEARCH": places,
    "ARINFO": text_pairs,
    "PFMERGE": is_ok,
}


def geo_callbacks(protocol: int | None, legacy_responses: bool) -> dict[str, Callback]:
    """This file's part of `replies.response_callbacks`."""
    if protocol == 3 and legacy_responses:
        return _ALWAYS
    found: dict[str, Callback] = {**_ALWAYS, "GEOHASH": text_list}
    if legacy_responses:
        found["GEOPOS"] = partial(positions, shape=tuple)
    elif protocol == 2:
        found["GEOPOS"] = partial(positions, shape=list)
    return found
