"""Calls with generated arguments send the same words as redis-py, or fail as well."""

from __future__ import annotations

from typing import Any

import pytest
from calls import CALLS, ERRORS  # type: ignore[import-not-found]
from differences import DIFFERENT_WORDS  # type: ignore[import-not-found]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_commands_compat import Ours, Sent, Theirs, drive  # type: ignore[import-not-found]

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

SAMPLES: dict[str, list[Call]] = {}
for sample in (*CALLS, *ERRORS):
    SAMPLES.setdefault(sample[0], []).append(sample)

TEXT = st.text("ab:*\u00e4 ", max_size=4)
BY_TYPE: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-5, 2**40),
    float: st.floats(-5, 5, allow_nan=False),
    str: TEXT,
    bytes: st.binary(max_size=4),
    type(None): st.none(),
}


@st.composite
def variations(draw: st.DrawFn, value: Any) -> Any:
    """Mostly the value itself, or one of its type."""
    if isinstance(value, (list, tuple)):
        return type(value)([draw(variations(each)) for each in value])
    if isinstance(value, dict):
        return {key: draw(variations(each)) for key, each in value.items()}
    if type(value) not in BY_TYPE or draw(st.integers(0, 2)):
        return value
    return draw(BY_TYPE[type(value)])


@st.composite
def calls(draw: st.DrawFn, name: str) -> Call:
    """A sample with some of its options, some of another's, and some values changed."""
    _, args, kwargs = draw(st.sampled_from(SAMPLES[name]))
    _, _, others = draw(st.sampled_from(SAMPLES[name]))
    options = {key: value for key, value in {**others, **kwargs}.items() if draw(st.integers(0, 3))}
    return name, draw(variations(args)), draw(variations(options))


def outcome(client: Any, call: Call) -> Any:
    """The words, or that it fails."""
    name, args, kwargs = call
    try:
        drive(getattr(client, name)(*args, **kwargs))
    except Sent as sent:
        return sent.words
    except Exception:
        return "fails"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(SAMPLES) - set(DIFFERENT_WORDS)))
@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_words(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    assert outcome(Ours(), call) == outcome(Theirs(), call)
