"""What the README, the reference of options and the project's settings say is so."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from greenredis.options import CONNECTION_OPTIONS, OPTIONS, POOL_OPTIONS, UNSUPPORTED_OPTIONS
from greenredis.testing import Server

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of all lines of tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def settings(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / name, encoding="utf-8")
    return parser


def example() -> str:
    found = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_example_runs(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(example().replace("redis://localhost:6379/0", server.url), names)
    assert capsys.readouterr().out == "b'200'\n"
    assert server.ask("GET", "visits") == b"200"
    names["client"].close()  # type: ignore[attr-defined]


def test_the_example_has_ten_lines() -> None:
    assert len([line for line in example().splitlines() if line]) <= 10


PROMISES = {row[0]: row for row in rows(README) if re.fullmatch(r"P\d+", row[0])}


def test_all_promises_are_there() -> None:
    assert list(PROMISES) == [f"P{number}" for number in range(1, 12)]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_its_tests(promise: str) -> None:
    tested_by = PROMISES[promise][-1]
    named = re.findall(r"`([^`]+)`", tested_by)
    assert named or tested_by.startswith("not yet")
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert all(re.fullmatch(r"(tests|chaos)/test_\w+\.py", name) for name in named)


def test_the_reference_has_all_options_and_their_defaults() -> None:
    text = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    told = [(row[0].strip("`"), row[1].strip("`")) for row in rows(text) if row[0].startswith("`")]
    assert len(told) == len(set(told)) == len(OPTIONS)
    assert dict(told) == {name: repr(option.default) for name, option in OPTIONS.items()}


def test_the_reference_tells_what_is_not_supported() -> None:
    text = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    supported, unsupported = text.split("## Not supported")
    for known, part in ((UNSUPPORTED_OPTIONS, unsupported), (CONNECTION_OPTIONS | POOL_OPTIONS, supported)):
        assert {row[0].strip("`") for row in rows(part) if row[0].startswith("`")} == set(known)


def test_lowest_is_what_is_allowed() -> None:
    required = settings("setup.cfg")["options"]["install_requires"].split("\n")
    allowed = {line.replace(">=", "==") for line in required if line and ";" not in line}
    lowest = settings("tox.ini")["testenv:lowest"]
    assert allowed <= set(lowest["deps"].split("\n"))
    assert all(f"'{pin.split('==')[1]}'" in lowest["commands"] for pin in allowed)
