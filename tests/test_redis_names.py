"""The tables of redis-py's names, against redis-py itself: nothing is forgotten, and nothing invented."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from greenredis.redis_names import ABSENT, BORROWED, BORROWED_NAMES, PLACEHOLDERS, SERVED, VERSION

redis = pytest.importorskip("redis")

# Public names of the served modules that are not served, by the reason.
NOT_SERVED = {
    "groups of methods and mixins: CoreCommands has all methods": (
        "ArrayCommands BasicKeyCommands ClusterCommands DataAccessCommands FunctionCommands GeoCommands "
        "HyperlogCommands ManagementCommands ModuleCommands PubSubCommands ScanCommands ScriptCommands "
        "SentinelCommands SortedSetCommands StreamCommands"
    ),
    "asyncio's": (
        "AsyncACLCommands AsyncArrayCommands AsyncBasicKeyCommands AsyncClientProtocol AsyncClusterCommands "
        "AsyncCoreCommands AsyncDataAccessCommands AsyncFunctionCommands AsyncGeoCommands AsyncHashCommands "
        "AsyncHyperlogCommands AsyncListCommands AsyncManagementCommands AsyncModuleCommands "
        "AsyncPubSubCommands AsyncRedisClusterCommands AsyncRedisModuleCommands AsyncScanCommands "
        "AsyncScript AsyncScriptCommands AsyncSentinelCommands AsyncSetCommands AsyncSortedSetCommands "
        "AsyncStreamCommands dummy_fail_async"
    ),
    "Cluster's": "ClusterCommandsProtocol READ_COMMANDS RedisClusterCommands",
    "experiments, and what is not offered: arrays, client-side caching, maintenance notifications": (
        "ArrayAggregateOperations ArrayPredicateCombinator ArrayPredicateType CacheProxyConnection "
        "HIMPORT_DISCARD HIMPORT_DISCARDALL HIMPORT_PREPARE HIMPORT_SET MaintNotificationsAbstractConnection "
        "MaintNotificationsAbstractConnectionPool"
    ),
    "protocols and variables for its own annotations": (
        "AbstractRedis C CommandsProtocol E SyncClientProtocol T TYPE_CHECKING"
    ),
    "how it writes and reads the protocol": (
        "HiredisRespSerializer PythonRespSerializer SYM_CRLF SYM_DOLLAR SYM_EMPTY SYM_STAR"
    ),
    "helpers of its own": (
        "DB_CLIENT_CONNECTION_POOL_NAME DB_CLIENT_CONNECTION_STATE FALSE_STRINGS HAS_XXHASH SENTINEL "
        "SentinelConnectionPoolProxy "
        "add_debug_log_for_operation_failure apply_module_callbacks at_most_one_value_set "
        "check_protocol_version decode_dict_keys decode_field_value delist deprecated_args "
        "deprecated_function dummy_fail experimental experimental_args experimental_method "
        "extract_expire_flags format_error_message get_legacy_responses get_protocol_version "
        "hiredis_version int_or_str is_debug_log_enabled parse_pubsub_subscriptions parse_to_list "
        "pubsub_subscription_args random_string truncate_text warn_deprecated warn_deprecated_arg_usage "
        "warn_experimental warn_experimental_arg_usage"
    ),
}
REASONS = {name: why for why, names in NOT_SERVED.items() for name in names.split()}


def served(module: str) -> set[str]:
    lines = [*SERVED.get(module, {}).values(), *BORROWED_NAMES.get(module, {}).values()]
    lines.append(PLACEHOLDERS.get(module, ("", ""))[1])
    return {name.partition("=")[0] for line in lines for name in line.split()}


def is_below(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def public(module: str) -> dict[str, Any]:
    """What a module of redis-py's defines, or lists in `__all__`, or has from another that is served."""
    values = vars(importlib.import_module(module))
    listed = values.get("__all__", ())
    found = {}
    for name, value in values.items():
        if name[0] == "_" or isinstance(value, ModuleType):
            continue
        home = getattr(value, "__module__", None) or module
        if name in listed or home == module or (home.startswith("redis") and name in served(home)):
            found[name] = value
    return found


def own() -> list[str]:
    return sorted(module for module in SERVED if module not in PLACEHOLDERS)


def test_redis_py_is_the_one_whose_api_this_is() -> None:
    assert redis.VERSION == VERSION


def test_every_module_is_served_or_has_a_reason() -> None:
    found = {each.name for each in pkgutil.walk_packages(redis.__path__, "redis.", onerror=lambda name: None)}
    known = {module for module in found if is_below(module, (*SERVED, *PLACEHOLDERS, *BORROWED, *ABSENT))}
    assert found - known == set()
    assert {*SERVED, *PLACEHOLDERS, *BORROWED, *ABSENT} - found == {"redis"}


@pytest.mark.parametrize("module", own())
def test_every_name_is_served_or_has_a_reason(module: str) -> None:
    names = set(public(module))
    assert names - served(module) - set(REASONS) == set()


@pytest.mark.parametrize("module", sorted({*SERVED, *PLACEHOLDERS}))
def test_no_name_is_invented(module: str) -> None:
    assert served(module) - set(vars(importlib.import_module(module))) == set()


def test_no_reason_is_left_over() -> None:
    names = {name for module in own() for name in set(public(module)) - served(module)}
    assert set(REASONS) - names == set()


def test_the_package_serves_what_it_lists() -> None:
    assert set(redis.__all__) - served("redis") == set()
