"""Checks of single options: `check(name, value)` gives the value to use, or an error with the remedy."""

from __future__ import annotations

import codecs
import math
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .driver_info import UNSET, Unset
from .exceptions import ConnectionError, RedisError

# Seconds; sockets refuse more on some platforms, and None is there for "no limit".
LONGEST = 1e9


def refuse(name: str, wanted: str, value: object, remedy: str = "") -> NoReturn:
    shown = repr(value)
    raise ValueError(
        f"{name} must be {wanted}, not {shown if len(shown) < 80 else shown[:77] + '...'}{remedy}"
    )


def _number(value: object) -> float:
    """The finite number meant by an int, a float or a str, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        number = float(value) if isinstance(value, str) else value
        return number if math.isfinite(number) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def limit(name: str, value: object) -> float | None:
    if value is None or 0 < (number := _number(value)) <= LONGEST:
        return None if value is None else number
    refuse(name, "a positive number of seconds", value, "; None sets no limit")


def seconds(name: str, value: object) -> float:
    if value is None or 0 <= (number := _number(value)) <= LONGEST:
        return 0 if value is None else number
    refuse(name, "a number of seconds", value, "; 0 turns it off")


def optional_seconds(name: str, value: object) -> float | None:
    return None if value is None else seconds(name, value)


def whole(least: int, most: int, remedy: str = "") -> Callable[[str, object], int]:
    bounds = f"from {least} to {most}" if most < sys.maxsize else f"of at least {least}"

    def check(name: str, value: object) -> int:
        number = _number(value)
        if not least <= number <= most or number != int(number):
            refuse(name, f"a whole number {bounds}", value, remedy)
        return int(number)

    return check


def database(name: str, value: object) -> int:
    return 0 if value is None else whole(0, sys.maxsize)(name, value)


def connections(name: str, value: object) -> int | None:
    return None if value is None else whole(1, sys.maxsize, "; leave it out for the default")(name, value)


def to_bool(value: object) -> bool | None:
    """The bool meant by a URL's text ("0", "f", "false", "n", "no" in any case are False), None if empty."""
    if value is None or value == "":
        return None
    return not (isinstance(value, str) and value.upper() in ("0", "F", "FALSE", "N", "NO")) and bool(value)


def boolean(name: str, value: object) -> bool:
    return bool(to_bool(value))


def anything(name: str, value: Any) -> Any:
    return value


def text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    refuse(name, "a str or None", value)


def text_or_unset(name: str, value: object) -> str | Unset | None:
    return value if isinstance(value, Unset) else text(name, value)


def host(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or any(c in "/@?#" or c.isspace() or c == "\0" for c in value):
        # Most likely a URL with a password in it, so it is not shown.
        raise ValueError(
            f"{name} must be a host name or an IP address; from_url() takes URLs, path that of a socket"
        )
    return value[1:-1] if value[0] == "[" and value[-1] == "]" else value


def path(name: str, value: Any) -> str | None:
    try:
        found = None if value is None else os.fsdecode(value)
    except TypeError:
        found = ""
    if found == "" or (found and "://" in found):
        # Not shown, as above.
        raise ValueError(f"{name} must be the path of a Unix socket; from_url() takes URLs")
    return found


def client_name(name: str, value: object) -> str | None:
    # Redis's own rule for CLIENT SETNAME.
    if isinstance(value, str) and not all("!" <= c <= "~" for c in value):
        refuse(name, "printable ASCII without spaces", value)
    return text(name, value)


def encoding(name: str, value: Any) -> str:
    try:
        "".encode(value)
    except (LookupError, TypeError, ValueError):
        refuse(name, "a text encoding that Python knows, such as 'utf-8'", value)
    return str(value)


def encoding_errors(name: str, value: Any) -> str:
    try:
        codecs.lookup_error(value)
    except (LookupError, TypeError, ValueError):
        refuse(name, "an error handler that Python knows, such as 'strict' or 'replace'", value)
    return str(value)


def protocol(name: str, value: Any) -> int | None:
    if value in (None, 2, 3, "2", "3"):
        return None if value is None else int(value)
    raise ConnectionError(f"protocol must be either 2 or 3, or None for the default, not {value!r}")


def resend(name: str, value: object) -> str:
    if value not in ("safe", "always", "never"):
        refuse(name, "'safe', 'always' or 'never'", value)
    return str(value)


def error_classes(name: str, value: Any) -> list[type[Exception]]:
    classes = [] if value is None or value is UNSET else value
    if isinstance(classes, (list, tuple, set, frozenset)):
        classes = list(classes)
        if all(isinstance(error, type) and issubclass(error, Exception) for error in classes):
            return classes
    refuse(name, "a list of exception classes", value)


def has_method(method: str, wanted: str) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value is None or callable(getattr(value, method, None)):
            return value
        kind = type(value)
        raise ValueError(f"{name} must be {wanted} or None, not a {kind.__module__}.{kind.__qualname__}")

    return check


def keepalive(name: str, value: Any) -> dict[int, int | bytes]:
    if value is UNSET:
        return default_keepalive()
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    refuse(name, "a mapping such as {socket.TCP_KEEPIDLE: 30}", value)


def default_keepalive() -> dict[int, int | bytes]:
    """redis-py's: probe after 30 seconds of silence, every 5 seconds, 3 times; as far as the system can."""
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    wanted = ((idle, 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    return {getattr(socket, name): value for name, value in wanted if hasattr(socket, name)}


CERT_REQS = {"none": 0, "optional": 1, "required": 2}


def cert_reqs(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, str) and value in CERT_REQS):
        return value
    if isinstance(value, int) and value in (0, 1, 2):
        return value
    raise RedisError(
        f"ssl_cert_reqs must be 'none', 'optional' or 'required', or an ssl.VerifyMode, not {value!r}"
    )


def verify_flags(name: str, value: Any) -> list[int] | None:
    if value is None or (isinstance(value, (list, tuple)) and all(isinstance(flag, int) for flag in value)):
        return None if value is None else list(value)
    refuse(name, "a list of ssl.VerifyFlags", value)


def min_version(name: str, value: Any) -> Any:
    if value is None:
        return None
    import ssl

    try:
        return ssl.TLSVersion(value)
    except ValueError:
        refuse(name, "an ssl.TLSVersion such as ssl.TLSVersion.TLSv1_2", value)


def none_only(name: str, value: Any) -> None:
    if value is not None:
        raise ValueError(f"{name} cannot be chosen here: hiredis does this work; leave it out")


def unsupported(default: object) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        # What redis-py calls "none" (MaintenanceState) and "not enabled" (MaintNotificationsConfig).
        said = getattr(value, "enabled", None) is False or getattr(value, "value", None) == "none"
        if not (value is None or value is default or (said and name.startswith("maint"))):
            raise ValueError(
                f"{name} is an option of redis-py that greenredis does not support; leave it out"
            )
        return default

    return check


def parse_ssl_verify_flags(value: str) -> list[Any]:
    """The flags named in "[A, B]", with or without brackets; ValueError for one that `ssl` lacks."""
    import ssl

    names = [name.strip() for name in value.replace("[", "").replace("]", "").split(",")]
    if not all(name in ssl.VerifyFlags.__members__ for name in names):
        raise ValueError("unknown ssl verify flag")
    return [ssl.VerifyFlags[name] for name in names]
