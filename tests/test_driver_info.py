"""Credential providers, and what the client says of itself."""

from __future__ import annotations

import copy

import pytest
import redis

import greenredis.version
from greenredis.config import validate
from greenredis.credentials import (
    CredentialProvider,
    StreamingCredentialProvider,
    UsernamePasswordCredentialProvider,
)
from greenredis.driver_info import UNSET, DriverInfo, resolve_driver_info

SECRET = "hunter2"


def test_credential_providers() -> None:
    assert UsernamePasswordCredentialProvider("u", "p").get_credentials() == ("u", "p")
    assert UsernamePasswordCredentialProvider(password="p").get_credentials() == ("p",)
    assert UsernamePasswordCredentialProvider().get_credentials() == ("",)
    assert SECRET not in repr(UsernamePasswordCredentialProvider("u", SECRET))
    with pytest.raises(NotImplementedError, match="CredentialProvider must implement get_credentials"):
        CredentialProvider().get_credentials()
    with pytest.raises(TypeError):
        StreamingCredentialProvider()  # type: ignore[abstract]
    coroutine = UsernamePasswordCredentialProvider("u", "p").get_credentials_async()
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value == ("u", "p")


def test_the_driver_names_itself() -> None:
    assert DriverInfo().formatted_name == "greenredis"
    assert DriverInfo().lib_version == greenredis.version.__version__
    info = (
        DriverInfo(lib_version=None)
        .add_upstream_driver("celery", "5.1")
        .add_upstream_driver("django-redis", "6")
    )
    assert info.formatted_name == "greenredis(django-redis_v6;celery_v5.1)"
    assert info.upstream_drivers == ["django-redis_v6", "celery_v5.1"]
    assert DriverInfo(None).add_upstream_driver("celery", "1").formatted_name is None
    assert repr(info) == "<DriverInfo greenredis(django-redis_v6;celery_v5.1) None>"
    assert info == copy.deepcopy(info)
    assert info != DriverInfo()
    assert info != "greenredis"


NAMES = ["celery", "a_b-c9", "Celery", "9x", "a b", "a(b", "a}", "", "é", "a\n", "x" * 5]
VERSIONS = ["1.0", "1.0+local", "1 0", "(1)", "[1]", "{1}", "1\n", "é", "a~b!|^_`\\'"]


@pytest.mark.parametrize(
    ("name", "version"), [*((name, "1") for name in NAMES), *(("celery", v) for v in VERSIONS)]
)
def test_upstream_names_and_versions_are_redis_pys(name: str, version: str) -> None:
    try:
        theirs = redis.DriverInfo("greenredis").add_upstream_driver(name, version).formatted_name
    except ValueError:
        with pytest.raises(ValueError, match="driver_"):
            DriverInfo().add_upstream_driver(name, version)
    else:
        assert DriverInfo().add_upstream_driver(name, version).formatted_name == theirs


def test_an_empty_version_and_none_are_refused() -> None:
    for name, version in (("celery", ""), ("celery", None), (None, "1")):
        with pytest.raises(ValueError, match="driver_"):
            DriverInfo().add_upstream_driver(name, version)  # type: ignore[arg-type]


def test_driver_info_is_resolved_as_redis_py_does() -> None:
    assert resolve_driver_info() == DriverInfo()
    assert resolve_driver_info(None) is None
    assert resolve_driver_info(lib_name=None, lib_version=None) is None
    assert resolve_driver_info(lib_name="x") == DriverInfo("x")
    assert resolve_driver_info(lib_name=None) == DriverInfo(None)
    given = DriverInfo("y")
    assert resolve_driver_info(given, "x", "1") is given
    assert validate({"lib_name": None, "lib_version": None})["driver_info"] is None
    assert (repr(UNSET), copy.deepcopy(UNSET) is UNSET) == ("UNSET", True)
