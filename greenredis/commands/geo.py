"""Places on earth: sorted sets whose scores are positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..exceptions import DataError
from .options import Commands, Key, Word, exclude, options

_UNITS = ("m", "km", "mi", "ft")


class GeoCommands(Commands):
    """Distances are in `unit`: metres ("m"), "km", miles ("mi") or feet ("ft").

    What is found are the places' names; with `withdist`, `withhash` or `withcoord` lists of the name and, in
    this order, the distance, the position as an integer, and (longitude, latitude).  `count`: the nearest so
    many, with `any` the first so many found.  `sort`: ASC or DESC by distance.
    """

    def geoadd(
        self, name: Key, values: Sequence[Word], nx: bool = False, xx: bool = False, ch: bool = False
    ) -> int:
        """How many places were new, with `ch` changed too; `values`: longitude, latitude, name, and so on."""
        exclude(nx=nx, xx=xx)
        if len(values) % 3 != 0:
            raise DataError("GEOADD needs a longitude, a latitude and a name for each place")
        return self.execute_command("GEOADD", name, *options(NX=bool(nx), XX=bool(xx), CH=bool(ch)), *values)

    def geodist(self, name: Key, place1: Word, place2: Word, unit: str | None = None) -> float | None:
        """The distance, in metres unless a `unit` is given; None if a place is missing."""
        return self.execute_command("GEODIST", name, place1, place2, *([_unit(unit)] if unit else []))

    def geohash(self, name: Key, *values: Word) -> list[str]:
        """The geohash of each place, of 11 letters."""
        return self.execute_command("GEOHASH", name, *values)

    def geopos(self, name: Key, *values: Word) -> list[Any]:
        """(longitude, latitude) of each place, None for a missing one."""
        return self.execute_command("GEOPOS", name, *values)

    def georadius(
        self,
        name: Key,
        longitude: float,
        latitude: float,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: Key | None = None,
        store_dist: Key | None = None,
        any: bool = False,
    ) -> Any:
        """The places within `radius`, or how many, stored at `store`, or with distances at `store_dist`."""
        found = {"withdist": withdist, "withcoord": withcoord, "withhash": withhash}
        words = _radius(unit, found, count, sort, store, store_dist, any)
        return self.execute_command(
            "GEORADIUS",
            name,
            longitude,
            latitude,
            radius,
            *words,
            **found,
            store=store,
            store_dist=store_dist,
        )

    def georadiusbymember(
        self,
        name: Key,
        member: Word,
        radius: float,
        unit: str | None = None,
        withdist: bool = False,
        withcoord: bool = False,
        withhash: bool = False,
        count: int | None = None,
        sort: str | None = None,
        store: Key | None = None,
        store_dist: Key | None = None,
        any: bool = False,
    ) -> Any:
        """As `georadius`, around a place."""
        found = {"withdist": withdist, "withcoord": withcoord, "withhash": withhash}
        words = _radius(unit, found, count, sort, store, store_dist, any)
        return self.execute_command(
            "GEORADIUSBYMEMBER", name, member, radius, *words, **found, store=store, store_dist=store_dist
        )

    def geosearch(
        self,
        name: Key,
        member: Word | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        withcoord: bool = False,
        withdist: bool = False,
        withhash: bool = False,
    ) -> Any:
        """The places around `member`, or a position, within `radius`, or a box of `width` and `height`."""
        words = _search(member, longitude, latitude, unit, radius, width, height, sort, count, any)
        found = {"withdist": withdist, "withcoord": withcoord, "withhash": withhash}
        return self.execute_command(
            "GEOSEARCH", name, *words, *_found(found), **found, store=None, store_dist=None
        )

    def geosearchstore(
        self,
        dest: Key,
        name: Key,
        member: Word | None = None,
        longitude: float | None = None,
        latitude: float | None = None,
        unit: str = "m",
        radius: float | None = None,
        width: float | None = None,
        height: float | None = None,
        sort: str | None = None,
        count: int | None = None,
        any: bool = False,
        storedist: bool = False,
    ) -> int:
        """How many places `geosearch` finds, stored at `dest`; `storedist`: their scores are distances."""
        words = _search(member, longitude, latitude, unit, radius, width, height, sort, count, any)
        return self.execute_command("GEOSEARCHSTORE", dest, name, *words, *options(STOREDIST=bool(storedist)))


def _unit(unit: str) -> str:
    if unit not in _UNITS:
        raise DataError(f"the unit must be one of {', '.join(_UNITS)}, not {unit!r}")
    return unit


def _sorting(sort: str | None) -> list[str]:
    if sort and sort not in ("ASC", "DESC"):
        raise DataError(f"sort must be ASC or DESC, not {sort!r}")
    return [sort] if sort else []


def _found(found: dict[str, Any]) -> list[Any]:
    return options(**{name.upper(): bool(wanted) for name, wanted in found.items()})


def _radius(
    unit: str | None,
    found: dict[str, Any],
    count: int | None,
    sort: str | None,
    store: Any,
    store_dist: Any,
    any: bool,
) -> list[Any]:
    if any and count is None:
        raise DataError("any needs a count")
    exclude(store=bool(store), store_dist=bool(store_dist))
    words = [_unit(unit) if unit else "m", *_found(found), *options(COUNT=count)]
    words += options(ANY=bool(any)) + _sorting(sort)
    return words + options(STORE=store or None, STOREDIST=store_dist or None)


def _search(
    member: Any,
    longitude: Any,
    latitude: Any,
    unit: str,
    radius: Any,
    width: Any,
    height: Any,
    sort: str | None,
    count: int | None,
    any: bool,
) -> list[Any]:
    if member is None and (longitude is None or latitude is None):
        raise DataError("GEOSEARCH needs a member, or longitude and latitude")
    if radius is None and (width is None or height is None):
        raise DataError("GEOSEARCH needs a radius, or width and height")
    exclude(member=bool(member), position=bool(longitude or latitude))
    exclude(radius=bool(radius), box=bool(width or height))
    if any and not count:
        raise DataError("any needs a count")
    if unit is None:
        raise DataError("GEOSEARCH needs a unit")
    _unit(unit.lower())
    words = ["FROMMEMBER", member] if member else []
    if longitude is not None and latitude is not None:
        words += ["FROMLONLAT", longitude, latitude]
    words += ["BYRADIUS", radius, unit] if radius else []
    words += ["BYBOX", width, height, unit] if width and height else []
    words += _sorting(sort.upper() if sort else None)
    return words + options(COUNT=count or None, ANY=bool(any))
