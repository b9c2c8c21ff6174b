from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import redis.exceptions
from redis._parsers.base import BaseParser

from greenredis import exceptions
from greenredis.exceptions import (
    REFUSED,
    AskError,
    ClusterDownError,
    ConnectionError,
    LockError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    fresh,
    parse_error,
)

THEIRS: dict[str, Any] = {
    name: kind for name, kind in vars(redis.exceptions).items() if isinstance(kind, type)
}
# In addition to redis-py's bases: rediscovery cures them.
ALSO_CONNECTION_ERRORS = {"ReadOnlyError", "MasterDownError"}


def ours(name: str) -> Any:
    return getattr(exceptions, name)


@pytest.mark.parametrize("name", sorted(THEIRS.keys() - {"Enum"}))
def test_every_class_has_redis_pys_name_and_bases(name: str) -> None:
    theirs = [base.__name__ for base in THEIRS[name].__mro__]
    found = [base.__name__ for base in ours(name).__mro__]
    if name in ALSO_CONNECTION_ERRORS:
        assert "ConnectionError" in found
        found.remove("ConnectionError")
    assert found == theirs
    assert ours(name).__module__ == "greenredis.exceptions"


@pytest.mark.parametrize("name", sorted(THEIRS.keys() - {"Enum", "ExceptionType"}))
def test_error_type_is_redis_pys(name: str) -> None:
    theirs = getattr(THEIRS[name]("1 a:1"), "error_type", None)
    found = getattr(ours(name)("1 a:1"), "error_type", None)
    assert (found and found.value) == (theirs and theirs.value)


THEIR_PARSER: Any = BaseParser


def codes() -> list[str]:
    texts = [f"{code} 1 a:1" for code in THEIR_PARSER.EXCEPTION_CLASSES if code != "ERR"]
    texts += [f"ERR {message}" for message in THEIR_PARSER.EXCEPTION_CLASSES["ERR"]]
    return [*texts, "ERR unknown", "WRONGTYPE Operation", "NOSUCHCODE", "", "ERR"]


@pytest.mark.parametrize("text", codes())
def test_error_codes_give_redis_pys_classes(text: str) -> None:
    theirs, found = THEIR_PARSER.parse_error(text), parse_error(text)
    assert type(found).__name__ == type(theirs).__name__
    assert found.args == theirs.args
    assert found.status_code == theirs.status_code
    assert str(found) == str(theirs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3999 127.0.0.1:6381", (3999, "127.0.0.1", 6381)),
        ("3999 :6381", (3999, "", 6381)),
        ("3999 ?:6381", (3999, "?", 6381)),
        ("3999 ::1:6381", (3999, "::1", 6381)),
        ("3999 [::1]:6381", (3999, "::1", 6381)),
        ("3999 host.example:6381 more", (3999, "host.example", 6381)),
        ("3999", (-1, "", 0)),
        ("", (-1, "", 0)),
        ("16384 a:1", (-1, "", 0)),
        ("-1 a:1", (-1, "", 0)),
        ("x a:1", (-1, "", 0)),
        ("1 a", (1, "", 0)),
        ("1 a:b", (1, "", 0)),
        ("1 a:65536", (1, "", 0)),
        ("1 a:" + "9" * 5000, (1, "", 0)),
        ("\u0663 a:1", (-1, "", 0)),
    ],
)
@pytest.mark.parametrize("code", ["MOVED", "ASK"])
def test_redirections_never_raise(code: str, text: str, expected: tuple[int, str, int]) -> None:
    error = parse_error(f"{code} {text}")
    assert isinstance(error, AskError)
    assert isinstance(error, MovedError) == (code == "MOVED")
    assert (error.slot_id, error.host, error.port) == expected
    assert error.node_addr == expected[1:]
    assert error.message == text


def test_bytes_and_a_code_alone_do_not_raise() -> None:
    assert parse_error(b"ERR \xff").args == ("\ufffd",)
    assert isinstance(parse_error("MOVED"), MovedError)
    assert isinstance(parse_error("CLUSTERDOWN"), ClusterDownError)


def test_the_message_names_the_address_once() -> None:
    error = parse_error("ERR no", "localhost:6379")
    assert str(error) == "no (localhost:6379)"
    assert error.args == ("no",)
    assert repr(error) == "ResponseError('no (localhost:6379)')"
    error = ConnectionError("localhost:6379 is away")
    error.address = "localhost:6379"
    assert str(error) == "localhost:6379 is away"
    assert str(ConnectionError()) == ""


class Odd(RedisError):
    def __init__(self, one: int, *, two: int) -> None:
        super().__init__(f"{one} {two}")
        self.two = two


def samples() -> list[RedisError]:
    found = [parse_error(text, "host:1") for text in codes()]
    found.append(LockError("no", lock_name="name"))
    for error in found:
        error.maybe_executed = True
    return found


@pytest.mark.parametrize("error", samples(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), fresh])
def test_copies_keep_everything(how: Any, error: RedisError) -> None:
    other = how(error)
    assert type(other) is type(error)
    assert other is not error
    assert (other.args, other.__dict__, str(other)) == (error.args, error.__dict__, str(error))


def test_fresh_has_the_cause_and_no_traceback() -> None:
    cause = OSError("away")
    try:
        raise Odd(1, two=2) from cause
    except Odd as error:
        other = fresh(error)
    assert (type(other), other.args, other.two) == (Odd, ("1 2",), 2)
    assert other.__cause__ is cause
    assert other.__traceback__ is None
    assert fresh(ResponseError("x")).__suppress_context__ is False


def test_refused_replies() -> None:
    expected = "READONLY MASTERDOWN LOADING TRYAGAIN MOVED ASK CLUSTERDOWN".split()
    assert all(isinstance(parse_error(f"{code} 1 a:1"), REFUSED) for code in expected)
    assert not isinstance(parse_error("ERR no"), REFUSED)
    assert issubclass(ReadOnlyError, ConnectionError)
    assert issubclass(MasterDownError, ConnectionError)
    assert RedisError("x").maybe_executed is False
