"""parse_url against redis-py's, on URLs that are usual, odd and hostile."""

from __future__ import annotations

import ssl
import traceback
from typing import Any

import pytest
import redis.connection

from greenredis.config import parse_url, validate

SCHEMES = {redis.connection.SSLConnection: "rediss", redis.connection.UnixDomainSocketConnection: "unix"}


theirs_parse: Any = redis.connection.parse_url


def theirs(url: str) -> dict[str, Any]:
    options: dict[str, Any] = theirs_parse(url)
    options["scheme"] = SCHEMES.get(options.pop("connection_class", None), "redis")
    return options


SAME = [
    "redis://",
    "redis://localhost",
    "redis://localhost:6380/3",
    "redis://:6380",
    "redis://localhost:0/",
    "redis://LocalHost/0",
    "redis://localhost/1/2",
    "redis://localhost/abc",
    "redis://localhost/-1",
    "redis://localhost/2?db=5",
    "redis://[::1]:6380/1",
    "redis://[fe80::1%25eth0]:6380",
    "redis://user:pass@host",
    "redis://user@host",
    "redis://:pass@host",
    "redis://us%40er:p%3Aa%2Fs%23s%3F@host/1",
    "redis://user:p:a:s@host",
    "redis://user:p@ss@host",
    "redis://user:%00%ff@host",
    "redis://host%2Ename",
    "redis://host?username=u&password=p%2520q",
    "redis://user:pass@host?username=u&password=p",
    "redis://host?password=p@ss",
    "redis://host?host=other&port=7",
    "redis://?host=other&port=7",
    "redis://host#fragment",
    "redis://host?db=1&db=2",
    "redis://host?db=&socket_timeout=",
    "redis://host?client_name=a+b%20c",
    "redis://host?encoding=latin-1&encoding_errors=replace&decode_responses=True",
    "redis://host?socket_timeout=1.5&socket_connect_timeout=2&socket_read_size=1024",
    "redis://host?socket_timeout=nan&timeout=inf",
    "redis://host?socket_keepalive=no&retry_on_timeout=yes&retry_on_error=ab",
    "redis://host?max_connections=7&health_check_interval=3&timeout=2.5",
    "redis://host?protocol=3&legacy_responses=0",
    "redis://host?protocol=4",
    "redis://host?unknown=%41&another=1",
    "redis://host;db=1",
    "redis://host?a=1;db=2",
    "redis://ho\nst/1\t2",
    "redis://é.example/1",
    "rediss://host:6380?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem&ssl_keyfile=/k&ssl_certfile=/c",
    "rediss://host?ssl_check_hostname=False&ssl_min_version=771&ssl_ciphers=AES",
    "rediss://host?ssl_include_verify_flags=VERIFY_X509_STRICT,VERIFY_X509_PARTIAL_CHAIN",
    "rediss://host?ssl_exclude_verify_flags=[VERIFY_X509_STRICT,%20VERIFY_CRL_CHECK_LEAF]",
    "unix:///run/redis.sock",
    "unix:///run/redis.sock?db=3&password=p",
    "unix://user:pass@/run/redis.sock",
    "unix://user@/run/a%20b@c.sock",
    "unix://host/run/redis.sock",
    "unix:///run/redis.sock#x@y",
    "unix://?path=/run/redis.sock",
]


@pytest.mark.parametrize("url", SAME)
def test_a_url_gives_what_redis_py_gives(url: str) -> None:
    assert repr(parse_url(url)) == repr(theirs(url)) or sorted(parse_url(url).items()) == sorted(
        theirs(url).items()
    )


@pytest.mark.parametrize(
    "text", ["1", "0", "t", "f", "F", "n", "No", "NO", "false", "False", "true", "yes", "x"]
)
def test_booleans_are_read_as_redis_py_reads_them(text: str) -> None:
    url = f"redis://host?socket_keepalive={text}"
    assert parse_url(url) == theirs(url)


def test_options_of_our_own_are_cast() -> None:
    query = "max_idle_time=30&max_lifetime=60.5&min_idle=2&multiplex=no&resend=always&tcp_user_timeout=1.5"
    assert parse_url(f"redis://h?{query}") == {
        "scheme": "redis",
        "host": "h",
        "max_idle_time": 30.0,
        "max_lifetime": 60.5,
        "min_idle": 2,
        "multiplex": False,
        "resend": "always",
        "tcp_user_timeout": 1.5,
    }


def test_verify_flags_are_sss_own() -> None:
    flags = parse_url("rediss://h?ssl_include_verify_flags=[VERIFY_X509_STRICT]")["ssl_include_verify_flags"]
    assert flags == [ssl.VerifyFlags.VERIFY_X509_STRICT]


def test_text_for_a_bool_is_read_by_validate() -> None:
    assert (
        validate({"decode_responses": parse_url("redis://h?decode_responses=False")["decode_responses"]})[
            "decode_responses"
        ]
        is False
    )
    assert parse_url("redis://h?ssl_validate_ocsp=False")["ssl_validate_ocsp"] is False


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://u:hunter2@h", "REDIS://:hunter2@h", "redis:/x", b"redis://h", 7]
)
def test_another_scheme_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match="redis://, rediss:// or unix://") as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)


CASTS = [
    "db",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_read_size",
    "max_connections",
    "health_check_interval",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
    "ssl_min_version",
    "timeout",
    "protocol",
    "max_idle_time",
    "max_lifetime",
    "min_idle",
    "tcp_user_timeout",
]

# Every one has hunter2, or the digits 31337 of such a password, where no error may show it.
SECRETIVE = [
    "redis://:hunter2/x@host",
    "redis://:hunter2#x@host",
    "redis://:hunter2?x@host",
    "redis://:hunter2?x=1@host",
    "redis://user:31337/x@host",
    "redis://user:31337#x@host",
    "redis://user:31337?x@host?y=1",
    "redis://user:31337?hunter2=x@host",
    "redis://user:hunter2@host:port",
    "redis://user:hunter2@host:99999",
    "redis://user:hunter2@[::1",
    "redis://user:hunter2@ho\u2100st",
    "redis://user:hunter2@host?scheme=unix",
    "redis://user:hunter2@host?connection_class=x",
    "unix://user:hunter2@",
    *(f"redis://user:hunter2@host?{name}=hunter2" for name in CASTS),
]


@pytest.mark.parametrize("url", SECRETIVE)
def test_an_error_shows_no_secret(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_url(url)
    said = "".join(traceback.TracebackException.from_exception(caught.value).format_exception_only())
    chain, error = [], caught.value
    while error is not None:
        chain.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert all(secret not in text for text in (said, *chain) for secret in ("hunter2", "31337"))


@pytest.mark.parametrize("name", CASTS)
def test_a_bad_cast_names_the_option(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        parse_url(f"redis://host?{name}=x y")
