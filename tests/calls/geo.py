"""Places, and HyperLogLogs."""

from __future__ import annotations

from typing import Any

from .base import Call, call, each

SETUP = [
    "GEOADD sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "PFADD p1 a b c",
    "PFADD p2 c d",
]

_FOUND: list[dict[str, Any]] = [
    {}, {"withdist": True}, {"withcoord": True}, {"withhash": True},
    {"withdist": True, "withcoord": True, "withhash": True},
]  # fmt: skip

CALLS: list[Call] = [
    call("geoadd", "sicily", (13.5, 37.3, "Agrigento")),
    call("geoadd", "sicily", [13.5, 37.3, "Palermo", 14, 37, "other"], ch=True),
    call("geoadd", "sicily", (13.5, 37.3, "Palermo"), nx=True),
    call("geoadd", "sicily", (13.5, 37.3, "new"), xx=True),
    call("geodist", "sicily", "Palermo", "Catania"),
    call("geodist", "sicily", "Palermo", "Catania", "km"),
    call("geodist", "sicily", "Palermo", "none", unit="mi"),
    *each("geohash geopos", "sicily", "Palermo", "Catania"),
    call("geopos", "sicily", "none", "Catania"),
    *[call("georadius", "sicily", 15, 37, 300, "km", **found) for found in _FOUND],
    *[call("georadiusbymember", "sicily", "Palermo", 300, unit="km", **found) for found in _FOUND],
    *[call("geosearch", "sicily", "Palermo", unit="km", radius=300, **found) for found in _FOUND],
    call("georadius", "sicily", 15, 37, 300_000, count=1, any=True, sort="ASC"),
    call("georadius", "sicily", 15, 37, 300, "km", sort="DESC"),
    call("georadius", "sicily", 15, 37, 300, "km", store="dest"),
    call("georadius", "sicily", 15, 37, 300, "km", store_dist="dest"),
    call("georadiusbymember", "sicily", "Palermo", 300, "km", count=1, sort="ASC"),
    call("georadiusbymember", "sicily", "Palermo", 300, "km", store="dest"),
    call("geosearch", "sicily", longitude=15, latitude=37, width=400, height=400, unit="KM", sort="asc"),
    call("geosearch", "sicily", "Palermo", radius=300_000, sort="DESC", count=1, any=True, withdist=True),
    call("geosearchstore", "dest", "sicily", "Palermo", unit="km", radius=300),
    call("geosearchstore", "dest", "sicily", "Palermo", unit="km", radius=300, storedist=True, count=2),
    call("pfadd", "p1", "x", "y"),
    call("pfadd", "p1"),
    call("pfcount", "p1"),
    call("pfcount", "p1", "p2"),
    call("pfmerge", "dest", "p1", "p2"),
]
WORDS_ONLY: set[str] = set()
ERRORS: list[Call] = [
    call("geoadd", "sicily", (1, 2)),
    call("geoadd", "sicily", (1, 2, "a"), nx=True, xx=True),
    call("geodist", "sicily", "a", "b", "x"),
    call("georadius", "sicily", 1, 2, 3, "x"),
    call("georadius", "sicily", 1, 2, 3, any=True),
    call("georadius", "sicily", 1, 2, 3, sort="wrong"),
    call("georadius", "sicily", 1, 2, 3, store="a", store_dist="b"),
    call("geosearch", "sicily"),
    call("geosearch", "sicily", longitude=1, radius=1),
    call("geosearch", "sicily", "a"),
    call("geosearch", "sicily", "a", width=1),
    call("geosearch", "sicily", "a", 1, 2, radius=1),
    call("geosearch", "sicily", "a", radius=1, width=1, height=1),
    call("geosearch", "sicily", "a", radius=1, unit="x"),
    call("geosearch", "sicily", "a", radius=1, unit=None),
    call("geosearch", "sicily", "a", radius=1, sort="wrong"),
    call("geosearch", "sicily", "a", radius=1, any=True),
]
REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("GEOSEARCH", {}, [b"a"], [b"a"]),
    ("GEORADIUS", dict.fromkeys(("store", "store_dist", "withdist", "withcoord", "withhash")), b"a", b"a"),
]  # fmt: skip
