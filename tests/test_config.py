"""Addresses, the Fixed locator, options and their errors, secrets."""

# ruff: noqa: E501

from __future__ import annotations

import copy
import inspect
import pickle
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.connection
from redis.maint_notifications import MaintenanceState, MaintNotificationsConfig

from greenredis import exceptions
from greenredis.config import (
    CONNECTION_OPTIONS,
    OPTIONS,
    POOL_OPTIONS,
    UNSUPPORTED_OPTIONS,
    Address,
    Fixed,
    address_of,
    check_options,
    redacted,
    validate,
)
from greenredis.credentials import CredentialProvider, UsernamePasswordCredentialProvider
from greenredis.driver_info import DriverInfo
from greenredis.exceptions import ConnectionError, DataError, MasterDownError, ReadOnlyError, RedisError
from greenredis.retry import default_retry

SECRET = "hunter2"

RedisPy: Any = redis.connection.Connection


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("localhost", 6379), "localhost:6379"),
        (Address("::1", 6379), "[::1]:6379"),
        (Address(path="/run/redis.sock"), "/run/redis.sock"),
    ],
)
def test_an_address_shows_itself(address: Address, text: str) -> None:
    assert (str(address), repr(address)) == (text, f"<Address {text}>")
    for twin in (Address(address.host, address.port, address.path), copy.copy(address)):
        assert twin is not address
        assert twin == address
        assert hash(twin) == hash(address)
    assert pickle.loads(pickle.dumps(address)) == address
    assert not hasattr(address, "__dict__")


def test_addresses_differ() -> None:
    different = {Address("a", 1), Address("a", 2), Address("b", 1), Address(path="a"), Address(path="b")}
    assert len(different) == 5
    assert Address("a", 1) != ("a", 1)


def test_the_address_of_options() -> None:
    assert address_of(validate({"host": "[::1]", "port": "7"})) == Address("::1", 7)
    assert address_of(validate({"path": Path("/run/x")})) == Address(path="/run/x")


@pytest.mark.parametrize("kind", [ReadOnlyError, MasterDownError])
def test_fixed_renews_its_address_after_a_failover(kind: type[RedisError]) -> None:
    first = Address("h", 1)
    locator = Fixed(first)
    assert locator.locate() is locator.address is first
    locator.failed(first, kind("moved on"))
    second = locator.locate()
    assert second == first
    assert second is not first
    locator.failed(first, kind("late"))
    assert locator.address is second
    assert repr(locator) == "<Fixed h:1>"


@pytest.mark.parametrize("error", [ConnectionError("x"), exceptions.TimeoutError("x"), OSError(1)])
def test_fixed_stays_after_other_errors(error: Exception) -> None:
    locator = Fixed(Address(path="/x"))
    first = locator.address
    locator.failed(first, error)
    assert locator.address is first


# --- the table --------------------------------------------------------------------------------------------

OURS = {"resend", "tcp_user_timeout"}
# Ours differ on purpose: what hiredis does, what UNSET says, what is an empty list.
SPECIAL = {"parser_class", "command_packer", "socket_read_size", "retry_on_error", "path"}
SPECIAL |= {"lib_name", "lib_version", "driver_info", "socket_keepalive_options", "maintenance_state"}


def redis_py_defaults() -> dict[str, Any]:
    kinds = ("AbstractConnection", "Connection", "SSLConnection", "UnixDomainSocketConnection")
    found: dict[str, Any] = {}
    for kind in kinds:
        for parameter in inspect.signature(getattr(redis.connection, kind).__init__).parameters.values():
            if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                found[parameter.name] = parameter.default
    return found


def test_the_table_has_redis_pys_names_and_defaults() -> None:
    theirs = redis_py_defaults()
    assert theirs.keys() <= OPTIONS.keys()
    assert CONNECTION_OPTIONS.keys() - theirs.keys() == OURS
    for name in theirs.keys() - SPECIAL - UNSUPPORTED_OPTIONS.keys():
        assert CONNECTION_OPTIONS[name].default == theirs[name], name
    assert validate({})["socket_keepalive_options"] == RedisPy().socket_keepalive_options


def test_every_connection_option_of_a_client_is_known() -> None:
    client_only = {"connection_pool", "unix_socket_path", "ssl", "single_connection_client"}
    names = set(inspect.signature(redis.Redis.__init__).parameters) - {"self"} - client_only
    assert names <= OPTIONS.keys()


def test_validate_completes_and_is_idempotent() -> None:
    first = validate({"db": "3", "max_connections": 5, "own": object})
    assert first.keys() == {*CONNECTION_OPTIONS, "max_connections", "own"}
    assert first["db"] == 3
    assert first["driver_info"] == DriverInfo()
    assert validate(first) == first
    assert validate({"socket_keepalive_options": None})["socket_keepalive_options"] == {}


def test_defaults_are_not_shared() -> None:
    validate({})["retry_on_error"].append(ValueError)
    validate({})["socket_keepalive_options"][1] = 1
    validate({})["driver_info"].add_upstream_driver("celery", "5")
    assert validate({}) == validate({})
    assert validate({})["retry_on_error"] == []
    assert validate({})["driver_info"].upstream_drivers == []


GOOD = [
    ("socket_timeout", None, None),
    ("socket_timeout", "2.5", 2.5),
    ("socket_timeout", 1, 1),
    ("health_check_interval", None, 0),
    ("tcp_user_timeout", 0, 0),
    ("tcp_user_timeout", 1.5, 1.5),
    ("protocol", None, None),
    ("protocol", 2, 2),
    ("protocol", "3", 3),
    ("socket_keepalive", None, False),
    ("decode_responses", "False", False),
    ("decode_responses", "yes", True),
    ("retry_on_error", None, []),
    ("retry_on_error", (ValueError,), [ValueError]),
    ("resend", "never", "never"),
    ("ssl_cert_reqs", None, None),
    ("ssl_cert_reqs", ssl.CERT_OPTIONAL, ssl.CERT_OPTIONAL),
    ("ssl_min_version", 771, ssl.TLSVersion.TLSv1_2),
    ("ssl_include_verify_flags", (ssl.VerifyFlags.VERIFY_X509_STRICT,), [ssl.VerifyFlags.VERIFY_X509_STRICT]),
    ("host", "[::1]", "::1"),
    ("client_name", "worker-1", "worker-1"),
    ("parser_class", None, None),
    ("max_connections", None, None),
    ("max_connections", "7", 7),
    ("timeout", 0, 0),
    ("max_lifetime", None, None),
    ("multiplex", "no", False),
]


@pytest.mark.parametrize(("name", "value", "used"), GOOD)
def test_good_values(name: str, value: object, used: object) -> None:
    assert validate({name: value})[name] == used
    assert type(validate({name: value})[name]) is type(used)


TIMES = ["socket_timeout", "socket_connect_timeout", "max_idle_time", "max_lifetime"]
NUMBERS: list[object] = [-1, True, "soon", float("nan"), float("inf"), 10**400, [], 1e10]
BAD: list[tuple[str, object, type[Exception], str]] = [
    *((name, value, ValueError, f"{name} must be a positive number of seconds, not") for name in TIMES for value in [0, *NUMBERS]),
    ("tcp_user_timeout", -1, ValueError, "tcp_user_timeout must be a number of seconds, not -1; 0 turns it off"),
    ("health_check_interval", -1, ValueError, "health_check_interval must be a number of seconds, not -1; 0 turns it off"),
    ("timeout", -1, ValueError, "timeout must be a number of seconds, not -1; 0 turns it off"),
    ("socket_read_size", 0, ValueError, "socket_read_size must be a whole number from 1 to 1073741824, not 0"),
    ("socket_type", "x", ValueError, "socket_type must be a whole number from 0 to 65536, not 'x'"),
    ("port", 0, ValueError, "port must be a whole number from 1 to 65535, not 0"),
    ("port", 65536, ValueError, "port must be a whole number from 1 to 65535, not 65536"),
    ("port", 1.5, ValueError, "port must be a whole number from 1 to 65535, not 1.5"),
    ("db", -1, ValueError, "db must be a whole number of at least 0, not -1"),
    ("db", "x", ValueError, "db must be a whole number of at least 0, not 'x'"),
    ("max_connections", 0, ValueError, "max_connections must be a whole number of at least 1, not 0; leave it out"),
    ("min_idle", -1, ValueError, "min_idle must be a whole number from 0 to 1048576, not -1"),
    ("protocol", 4, ConnectionError, "protocol must be either 2 or 3, or None for the default, not 4"),
    ("protocol", "x", ConnectionError, "protocol must be either 2 or 3, or None for the default, not 'x'"),
    ("resend", "sometimes", ValueError, "resend must be 'safe', 'always' or 'never', not 'sometimes'"),
    ("encoding", "utf-9", ValueError, "encoding must be a text encoding that Python knows, such as 'utf-8', not 'utf-9'"),
    ("encoding", "hex", ValueError, "encoding must be a text encoding"),
    ("encoding", None, ValueError, "encoding must be a text encoding"),
    ("encoding_errors", "loud", ValueError, "encoding_errors must be an error handler that Python knows"),
    ("client_name", "a b", ValueError, "client_name must be printable ASCII without spaces, not 'a b'"),
    ("client_name", 5, ValueError, "client_name must be a str or None, not 5"),
    ("lib_name", 5, ValueError, "lib_name must be a str or None, not 5"),
    ("driver_info", "celery", TypeError, "driver_info must be a DriverInfo or None, not str"),
    ("retry", 3, ValueError, "retry must be a greenredis.retry.Retry or None, not a builtins.int"),
    ("retry_on_error", ["ab"], ValueError, "retry_on_error must be a list of exception classes, not ['ab']"),
    ("retry_on_error", ValueError, ValueError, "retry_on_error must be a list of exception classes"),
    ("credential_provider", 5, ValueError, "credential_provider must be a CredentialProvider or None, not a builtins.int"),
    ("redis_connect_func", 5, ValueError, "redis_connect_func must be a function or None, not a builtins.int"),
    ("socket_keepalive_options", [1], ValueError, "socket_keepalive_options must be a mapping such as"),
    ("parser_class", object, ValueError, "parser_class cannot be chosen here: hiredis does this work; leave it out"),
    ("command_packer", object, ValueError, "command_packer cannot be chosen here"),
    ("host", "", ValueError, "host must be a host name or an IP address"),
    ("host", None, ValueError, "host must be a host name or an IP address"),
    ("path", "", ValueError, "path must be the path of a Unix socket"),
    ("path", 5, ValueError, "path must be the path of a Unix socket"),
    ("ssl_cert_reqs", "maybe", RedisError, "ssl_cert_reqs must be 'none', 'optional' or 'required', or an ssl.VerifyMode, not 'maybe'"),
    ("ssl_cert_reqs", 7, RedisError, "ssl_cert_reqs must be"),
    ("ssl_cert_reqs", [], RedisError, "ssl_cert_reqs must be"),
    ("ssl_include_verify_flags", ["X"], ValueError, "ssl_include_verify_flags must be a list of ssl.VerifyFlags, not ['X']"),
    ("ssl_exclude_verify_flags", 5, ValueError, "ssl_exclude_verify_flags must be a list of ssl.VerifyFlags, not 5"),
    ("ssl_min_version", 1, ValueError, "ssl_min_version must be an ssl.TLSVersion such as ssl.TLSVersion.TLSv1_2, not 1"),
    ("ssl_ciphers", 5, ValueError, "ssl_ciphers must be a str or None, not 5"),
    *((name, object(), ValueError, f"{name} is an option of redis-py that greenredis does not support; leave it out") for name in UNSUPPORTED_OPTIONS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "kind", "text"), BAD)
def test_a_bad_value_is_told_with_its_remedy(
    name: str, value: object, kind: type[Exception], text: str
) -> None:
    with pytest.raises(Exception) as caught:
        validate({name: value})
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert len(str(caught.value)) < 250


def test_every_checked_option_has_a_bad_value_above() -> None:
    free = {"username", "password", "ssl_password", "ssl_keyfile", "ssl_certfile", "lib_version"}
    free |= {"ssl_ca_certs", "ssl_ca_path", "ssl_ca_data"}
    free |= {
        "socket_keepalive",
        "decode_responses",
        "legacy_responses",
        "retry_on_timeout",
        "ssl_check_hostname",
    }
    free |= {"multiplex"}
    assert OPTIONS.keys() - free == {row[0] for row in BAD}


@pytest.mark.parametrize("name", list(UNSUPPORTED_OPTIONS))
def test_an_unsupported_option_at_its_default_says_nothing(name: str) -> None:
    default = redis_py_defaults().get(name)
    assert name not in validate({name: default})
    assert name not in validate({name: None})


def test_maintenance_notifications_may_be_switched_off() -> None:
    off = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
    assert validate({**off, "maintenance_state": MaintenanceState.NONE}) == validate({})
    with pytest.raises(ValueError, match="maint_notifications_config"):
        validate({"maint_notifications_config": MaintNotificationsConfig()})


def test_options_that_contradict_each_other() -> None:
    provider = UsernamePasswordCredentialProvider("u", SECRET)
    for given in ({"username": "u"}, {"password": SECRET}):
        with pytest.raises(DataError, match="credential_provider, not both") as caught:
            validate({**given, "credential_provider": provider})
        assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="min_idle must not exceed max_connections"):
        validate({"min_idle": 3, "max_connections": 2})


@pytest.mark.parametrize("socket_timeout", [None, 7])
def test_no_connect_timeout_means_socket_timeout(socket_timeout: float | None) -> None:
    values = validate({"socket_timeout": socket_timeout, "socket_connect_timeout": None})
    assert values["socket_connect_timeout"] == socket_timeout
    assert validate({"socket_timeout": 7})["socket_connect_timeout"] == 5


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("socket_timeut", "; did you mean 'socket_timeout'?"),
        ("pasword", "; did you mean 'password'?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_option_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_options({"db": 1, name: SECRET}, OPTIONS, "BlockingConnectionPool")
    assert str(caught.value) == f"BlockingConnectionPool() has no option {name!r}{hint}"
    check_options({"db": 1}, OPTIONS, "Redis")


# --- secrets ----------------------------------------------------------------------------------------------


class Chatty(CredentialProvider):
    def __repr__(self) -> str:
        return SECRET


def test_nothing_secret_is_shown() -> None:
    given = {
        "username": SECRET,
        "password": SECRET,
        "ssl_password": SECRET,
        "ssl_ca_data": SECRET,
        "credential_provider": Chatty(),
        "redis_connect_func": type("Call", (), {"__repr__": lambda self: SECRET, "__call__": print})(),
        "api_token": SECRET,
    }
    assert redacted(given) == dict.fromkeys(given, "<REDACTED>")
    assert SECRET not in repr(redacted({**validate({"password": SECRET}), "own": SECRET}))


def test_defaults_are_left_out() -> None:
    assert redacted(validate({})) == {}
    assert (
        redacted({name: option.default for name, option in {**CONNECTION_OPTIONS, **POOL_OPTIONS}.items()})
        == {}
    )
    assert redacted(validate({"db": 3, "host": "h", "password": None})) == {"db": 3, "host": "h"}
    named = redacted(validate({"driver_info": DriverInfo("x"), "retry": default_retry()}))
    assert named == {"driver_info": DriverInfo("x"), "retry": default_retry()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", f"redis://:{SECRET}@h"),
        ("host", f"user:{SECRET}@h"),
        ("path", f"unix://:{SECRET}@/x"),
        ("credential_provider", type(SECRET)),
    ],
)
def test_an_error_about_a_misplaced_url_does_not_show_it(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be") as caught:
        validate({name: value})
    assert SECRET not in str(caught.value)


def test_keepalive_defaults_name_what_the_system_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPINTVL")
    assert set(validate({})["socket_keepalive_options"].values()) == {30, 3}
