"""What the client tells the server about itself (CLIENT SETINFO)."""

from __future__ import annotations

import enum
import re

from .version import __version__


class Unset(enum.Enum):
    """The type of `UNSET`, which stands for "not given" where None means "none"; copies stay identical."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset.UNSET

_PACKAGE = re.compile(r"[a-z][a-z0-9_-]*")
# What CLIENT SETINFO takes, less the braces that delimit the list of upstream drivers.
_PRINTABLE = re.compile(r"[!-'*-Z\\^-z|~]+")


class DriverInfo:
    """The LIB-NAME and LIB-VER of a connection, with the packages built upon the client.

    `name` is "greenredis" and `lib_version` this package's version unless given; None leaves either unsent.
    """

    __hash__ = None  # type: ignore[assignment]  # add_upstream_driver() changes it

    def __init__(self, name: str | Unset | None = UNSET, lib_version: str | Unset | None = UNSET) -> None:
        self.name: str | None = "greenredis" if isinstance(name, Unset) else name
        self.lib_version: str | None = __version__ if isinstance(lib_version, Unset) else lib_version
        self._upstream: list[str] = []

    @property
    def upstream_drivers(self) -> list[str]:
        """A copy of the entries `NAME_vVERSION`, latest first."""
        return list(self._upstream)

    @property
    def formatted_name(self) -> str | None:
        """LIB-NAME as sent: `name` or `name(first_v1;second_v2)`; None when there is no name."""
        if not self.name:
            return None
        return f"{self.name}({';'.join(self._upstream)})" if self._upstream else self.name

    def add_upstream_driver(self, driver_name: str, driver_version: str) -> DriverInfo:
        """This object, with a package put in front of those added before.

        ValueError unless the name is a lower-case package name and the version printable ASCII without
        spaces and braces.
        """
        if not isinstance(driver_name, str) or not _PACKAGE.fullmatch(driver_name):
            raise ValueError(
                f"driver_name must be a lower-case package name such as 'django-redis', not {driver_name!r}"
            )
        if not isinstance(driver_version, str) or not _PRINTABLE.fullmatch(driver_version):
            raise ValueError(
                f"driver_version must be printable ASCII without spaces or braces, not {driver_version!r}"
            )
        self._upstream.insert(0, f"{driver_name}_v{driver_version}")
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DriverInfo):
            return NotImplemented
        mine = (self.name, self.lib_version, self._upstream)
        return mine == (other.name, other.lib_version, other._upstream)

    def __repr__(self) -> str:
        return f"<DriverInfo {self.formatted_name} {self.lib_version}>"


def resolve_driver_info(
    driver_info: DriverInfo | Unset | None = UNSET,
    lib_name: str | Unset | None = UNSET,
    lib_version: str | Unset | None = UNSET,
) -> DriverInfo | None:
    """The DriverInfo to send, None for none: `driver_info` where given, otherwise one of name and version.

    TypeError when `driver_info` is something else.
    """
    if isinstance(driver_info, Unset):
        if lib_name is None and lib_version is None:
            return None
        return DriverInfo(lib_name, lib_version)
    if driver_info is None or isinstance(driver_info, DriverInfo):
        return driver_info
    raise TypeError(f"driver_info must be a DriverInfo or None, not {type(driver_info).__name__}")
