"""All options of a connection and of a pool, in one table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from . import checks
from .driver_info import UNSET, DriverInfo, resolve_driver_info
from .exceptions import DataError

REDACTED = "<REDACTED>"


class Option(NamedTuple):
    """One option: its default, its check, how a URL's text is cast, and whether it may be shown."""

    default: Any
    check: Callable[[str, Any], Any] = checks.anything
    cast: Callable[[str], Any] = str
    secret: bool = False


_SECRET = Option(None, secret=True)
_OFF = Option(None, checks.unsupported(None))

CONNECTION_OPTIONS: dict[str, Option] = {
    "host": Option("localhost", checks.host),
    "port": Option(6379, checks.whole(1, 65535)),
    "path": Option(None, checks.path),
    "db": Option(0, checks.database, int),
    "username": _SECRET,
    "password": _SECRET,
    "credential_provider": Option(
        None, checks.has_method("get_credentials", "a CredentialProvider"), secret=True
    ),
    "client_name": Option(None, checks.client_name),
    # Deprecated by redis-py in favor of driver_info, which wins.
    "lib_name": Option(UNSET, checks.text_or_unset),
    "lib_version": Option(UNSET, checks.text_or_unset),
    "driver_info": Option(UNSET),
    # Bounds one attempt, from the write to the whole reply. Seconds, as in all that follows.
    "socket_timeout": Option(5, checks.limit, float),
    "socket_connect_timeout": Option(5, checks.limit, float),
    "socket_read_size": Option(65536, checks.whole(1, 1 << 30), int),
    "socket_keepalive": Option(True, checks.boolean, checks.to_bool),
    "socket_keepalive_options": Option(UNSET, checks.keepalive),
    # redis-py's name for the address family that getaddrinfo() is asked for.
    "socket_type": Option(0, checks.whole(0, 1 << 16)),
    # How long written data may stay unacknowledged; None: what socket_timeout says, 0: the system's own.
    "tcp_user_timeout": Option(None, checks.optional_seconds, float),
    "health_check_interval": Option(0, checks.seconds, int),
    "encoding": Option("utf-8", checks.encoding),
    "encoding_errors": Option("strict", checks.encoding_errors),
    "decode_responses": Option(False, checks.boolean),
    "protocol": Option(None, checks.protocol, int),
    "legacy_responses": Option(True, checks.boolean, checks.to_bool),
    "parser_class": Option(None, checks.none_only),
    "command_packer": Option(None, checks.none_only),
    "retry": Option(None, checks.has_method("backoff_seconds", "a greenredis.retry.Retry")),
    "retry_on_error": Option((), checks.error_classes, list),
    "retry_on_timeout": Option(False, checks.boolean, checks.to_bool),
    # What is sent again that may have reached the server: what only reads, everything, nothing.
    "resend": Option("safe", checks.resend),
    "redis_connect_func": Option(None, checks.has_method("__call__", "a function"), secret=True),
    "ssl_keyfile": Option(None),
    "ssl_certfile": Option(None),
    "ssl_cert_reqs": Option("required", checks.cert_reqs),
    "ssl_include_verify_flags": Option(None, checks.verify_flags, checks.parse_ssl_verify_flags),
    "ssl_exclude_verify_flags": Option(None, checks.verify_flags, checks.parse_ssl_verify_flags),
    "ssl_ca_certs": Option(None),
    "ssl_ca_path": Option(None),
    "ssl_ca_data": Option(None, secret=True),
    "ssl_check_hostname": Option(True, checks.boolean, checks.to_bool),
    "ssl_password": _SECRET,
    "ssl_min_version": Option(None, checks.min_version, int),
    "ssl_ciphers": Option(None, checks.text),
}

# The pool's, which it completes itself: its classes differ in their defaults.
POOL_OPTIONS: dict[str, Option] = {
    "max_connections": Option(None, checks.connections, int),
    "timeout": Option(20, checks.optional_seconds, float),
    "max_idle_time": Option(None, checks.limit, float),
    "max_lifetime": Option(None, checks.limit, float),
    "min_idle": Option(0, checks.whole(0, 1 << 20), int),
    "multiplex": Option(True, checks.boolean, checks.to_bool),
}

# redis-py's, whose feature comes later or never: at their defaults they say nothing and are dropped.
UNSUPPORTED_OPTIONS: dict[str, Option] = {
    "cache": _OFF,
    "cache_config": _OFF,
    "cache_factory": _OFF,
    "event_dispatcher": _OFF,
    "himport_registry": _OFF,
    "maint_notifications_config": _OFF,
    "maint_notifications_pool_handler": _OFF,
    "maintenance_notification_hash": _OFF,
    "maintenance_state": _OFF,
    "orig_host_address": _OFF,
    "orig_socket_connect_timeout": _OFF,
    "orig_socket_timeout": _OFF,
    "oss_cluster_maint_notifications_handler": _OFF,
    "ssl_ocsp_context": _OFF,
    "ssl_ocsp_expected_cert": _OFF,
    "ssl_validate_ocsp": Option(False, checks.unsupported(False), checks.to_bool),
    "ssl_validate_ocsp_stapled": Option(False, checks.unsupported(False), checks.to_bool),
}

OPTIONS: dict[str, Option] = {**CONNECTION_OPTIONS, **POOL_OPTIONS, **UNSUPPORTED_OPTIONS}


def check_options(given: Mapping[str, Any], known: Collection[str], owner: str) -> None:
    """TypeError, suggesting the nearest name, if a given option is not among the known ones."""
    for name in given:
        if name not in known:
            import difflib

            nearest = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{owner}() has no option {name!r}{hint}")


def validate(options: Mapping[str, Any]) -> dict[str, Any]:
    """All connection options, checked and cast, completed with the defaults; nothing is read or opened.

    Options of the pool are checked where given; other names pass untouched, since check_options() judges
    names. Validating twice changes nothing. ValueError names the option, the value (no secret) and the
    remedy; ConnectionError, DataError and RedisError come where redis-py raises these.
    """
    given = {name: option.default for name, option in CONNECTION_OPTIONS.items()}
    given.update(options)
    values = {
        name: OPTIONS[name].check(name, value) if name in OPTIONS else value for name, value in given.items()
    }
    _check_together(values)
    if values["socket_connect_timeout"] is None:
        values["socket_connect_timeout"] = values["socket_timeout"]
    driver = (values["driver_info"], values["lib_name"], values["lib_version"])
    values["driver_info"] = resolve_driver_info(*driver)
    return {name: value for name, value in values.items() if name not in UNSUPPORTED_OPTIONS}


def _check_together(values: Mapping[str, Any]) -> None:
    if (values["username"] or values["password"]) and values["credential_provider"] is not None:
        raise DataError("give either username and password, or credential_provider, not both")
    most, least = values.get("max_connections"), values.get("min_idle", 0)
    if most is not None and least > most:
        raise ValueError(f"min_idle must not exceed max_connections, {least} is more than {most}")


def redacted(options: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults, for a repr: secrets, and what is not known here, as "<REDACTED>"."""
    shown = {}
    for name, value in options.items():
        option = OPTIONS.get(name)
        if option is None or option.secret:
            if value is not None:
                shown[name] = REDACTED
        elif not _is_default(name, option.default, value):
            shown[name] = value
    return shown


def _is_default(name: str, default: object, value: object) -> bool:
    if value is UNSET or value == default:
        return True
    if name == "driver_info":
        return value == DriverInfo()
    if name == "retry_on_error":
        return not value
    return name == "socket_keepalive_options" and value == checks.default_keepalive()
