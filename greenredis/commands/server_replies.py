"""What the replies to server commands are made into."""

from __future__ import annotations

from typing import Any

from .shapes import flatten, is_ok, pairs, text, text_list, text_pairs

_CLIENT_NUMBERS = frozenset((
    "age", "argv-mem", "db", "id", "idle", "multi", "obl", "oll", "omem", "psub", "qbuf", "qbuf-free", "sub",
    "tot-mem",
))  # fmt: skip


def info(reply: Any) -> dict[str, Any]:
    """Numbers, lists and dicts of them; lines without a name are in `__raw__`, modules in `modules`."""
    found: dict[str, Any] = {}
    for line in text(reply).splitlines():
        if not line or line.startswith("#"):
            continue
        if ":" not in line:
            found.setdefault("__raw__", []).append(line)
            continue
        # The one name that has a colon in it.
        name, _, value = line.rpartition(":") if line.startswith("cmdstat_host:") else line.partition(":")
        if name == "module":
            found.setdefault("modules", []).append(_info_value(value))
        else:
            found[name] = _info_value(value)
    return found


def _info_value(value: str) -> Any:
    if "=" in value:
        found: dict[str, Any] = {}
        for item in filter(None, value.split(",")):
            name, equals, inner = item.rpartition("=")
            found[name if equals else item] = _info_value(inner) if equals else True
        return found
    if "," in value:
        return [_info_value(item) for item in value.split(",") if item]
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        return value


def debug_object(reply: Any) -> dict[str, Any]:
    """Names and values; the numbers as int."""
    found: dict[str, Any] = dict(item.split(":", 1) for item in ("type:" + text(reply)).split())
    for name in ("refcount", "serializedlength", "lru", "lru_seconds_idle"):
        if name in found:
            found[name] = int(found[name])
    return found


def client_info(reply: Any) -> dict[str, Any]:
    """One connection; the numbers as int."""
    found: dict[str, Any] = {}
    for item in text(reply).split():
        name, _, value = item.partition("=")
        found[name] = int(value) if name in _CLIENT_NUMBERS else value
    return found


def client_list(reply: Any, **options: Any) -> list[dict[str, str]]:
    """One dict for each connection, all of str; an item without a name goes on with the one before."""
    found = []
    for line in text(reply).splitlines():
        client: dict[str, str] = {}
        last = ""
        for item in line.split(" "):
            name, equals, value = item.partition("=")
            if equals:
                last = name
                client[name] = value
            elif last:
                client[last] += " " + item
        if client:
            found.append(client)
    return found


def tracking_list(reply: Any) -> list[Any]:
    """RESP2's shape: name, value, name ..."""
    if not isinstance(reply, dict):
        return text_list(reply)
    return flatten(text_pairs(reply))


def tracking_dict(reply: Any) -> dict[str, Any]:
    found = text_pairs(reply)
    for name in ("flags", "prefixes"):
        if name in found:
            found[name] = text_list(found[name])
    return found


def slow_commands(reply: Any, decode_responses: bool = False, **options: Any) -> list[dict[str, Any]]:
    """One dict for each command, which is joined by spaces."""
    space: Any = " " if decode_responses else b" "
    found = []
    for item in reply:
        number, start, duration, *rest = item
        entry = {"id": number, "start_time": int(start), "duration": int(duration)}
        if not isinstance(rest[0], list):
            entry["complexity"] = rest.pop(0)
        entry["command"] = space.join(rest[0])
        if len(rest) >= 3:
            entry["client_address"], entry["client_name"] = rest[1:3]
        found.append(entry)
    return found


def memory_stats(reply: Any) -> dict[str, Any]:
    """Names as str; each database has a dict of its own."""
    found = text_pairs(reply)
    for name, value in found.items():
        if name.startswith("db.") and isinstance(value, (list, dict)):
            found[name] = text_pairs(value)
    return found


def memory_stats_text(reply: Any) -> dict[str, Any]:
    """As `memory_stats`, with values of str too."""
    found = memory_stats(reply)
    for name, value in found.items():
        if isinstance(value, dict):
            found[name] = {inner: text(item) for inner, item in value.items()}
        else:
            found[name] = text(value)
    return found


_COMMAND_FIELDS = ("name", "arity", "flags", "first_key_pos", "last_key_pos", "step_count", "acl_categories")
_COMMAND_DETAILS = ("tips", "key_specifications", "subcommands")


def commands(reply: Any, shape: type = list, **options: Any) -> dict[str, dict[str, Any]]:
    """What COMMAND says, by name; flags and categories in that shape."""
    return _commands(reply, shape, ("flags", "acl_categories"))


def _commands(reply: Any, shape: type, shaped: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = {}
    for item in reply:
        command = dict(zip(_COMMAND_FIELDS + _COMMAND_DETAILS, item, strict=False))
        command["name"] = text(item[0])
        for name in shaped:
            if name in command:
                command[name] = shape(map(text, command[name]))
        found[command["name"]] = command
    return found


def commands_with_sets(reply: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """As `commands`, with flags and categories as sets."""
    return commands(reply, set)


def commands_as_they_come(reply: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """As `commands`, with flags as sets and categories untouched."""
    return _commands(reply, set, ("flags",))


def acl_user(reply: Any) -> dict[str, Any] | None:
    """A user's rights; commands and categories apart, `enabled` by its flag."""
    if reply is None:
        return None
    user = text_pairs(reply)
    for name in ("flags", "passwords"):
        user[name] = text_list(user[name])
    for name in ("keys", "channels"):
        if name in user and isinstance(user[name], (str, bytes)):
            user[name] = text(user[name]).split(" ")
        if user.get(name) == [""]:
            user[name] = []
    if user.get("selectors"):
        user["selectors"] = [_selector(selector) for selector in user["selectors"]]
    words = text(user["commands"]).split(" ")
    user["commands"] = [word for word in words if "@" not in word]
    user["categories"] = [word for word in words if "@" in word]
    user["enabled"] = "on" in user["flags"]
    return user


def _selector(selector: Any) -> Any:
    if isinstance(selector, dict):
        return {text(name): text(value) for name, value in selector.items()}
    return text_list(selector)


def acl_user_with_lists(reply: Any) -> dict[str, Any] | None:
    """As `acl_user`, with selectors in RESP2's shape."""
    user = acl_user(reply)
    if user and user.get("selectors"):
        user["selectors"] = [
            flatten(selector) if isinstance(selector, dict) else selector for selector in user["selectors"]
        ]
    return user


def acl_user_with_dicts(reply: Any) -> dict[str, Any] | None:
    """As `acl_user`, with selectors in RESP3's shape."""
    user = acl_user(reply)
    if user and user.get("selectors"):
        user["selectors"] = [pairs(selector) for selector in user["selectors"]]
    return user


def acl_log(reply: Any, **options: Any) -> Any:
    """What was denied, the client as a dict; True after RESET."""
    if reply is None or not isinstance(reply, list):
        return None if reply is None else is_ok(reply)
    found = []
    for item in reply:
        entry = {name: text(value) for name, value in text_pairs(item).items()}
        entry["client-info"] = client_info(entry.get("client-info", ""))
        entry["age-seconds"] = float(entry["age-seconds"])
        found.append(entry)
    return found


def acl_log_plain(reply: Any) -> Any:
    """As `acl_log`, as it comes but for names and texts."""
    if not isinstance(reply, list):
        return is_ok(reply)
    return [{name: text(value) for name, value in text_pairs(item).items()} for item in reply]
