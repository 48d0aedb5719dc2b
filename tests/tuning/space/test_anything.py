import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.material.spaces import load
from tuning.errors import SpaceError
from tuning.search.study import distribution, make_sampler
from tuning.space.examples import middling, widest
from tuning.space.load import SPACES
from tuning.space.model import SEARCHABLE, SearchSpace
from vae.config import TrialConfig

DIMENSION_KEYS = ("type", "low", "high", "step", "log", "choices", "when")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(
        ["int", "float", "categorical", "relu", "asha", "grid", "cmaes", "none", "type", "val_loss", "gaussian"]
    ),
)
KEYS = st.one_of(
    st.sampled_from([*SEARCHABLE, *SearchSpace.model_fields, *DIMENSION_KEYS, "int"]),
    st.text(max_size=6),
    st.integers(),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
SHIPPED = [(SPACES / f"{name}.yaml").read_text() for name in ("beta_study", "denoising")]
DOTTED = st.lists(st.one_of(KEYS.map(str), st.sampled_from(["0", "", " "])), min_size=1, max_size=3).map(".".join)
QUICKLY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [path, *(found for key, part in items for found in paths_of(part, (*path, key)))]
    return [path]


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A shipped study with a few of its parts removed, replaced or added to."""
    content = yaml.safe_load(draw(st.sampled_from(SHIPPED)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([path for path in paths_of(content) if path]))
        part = content
        for key in path[:-1]:
            part = part[key]
        action = draw(st.sampled_from(["replace", "remove", "number", "add"]))
        if action == "remove" or (action == "add" and isinstance(part, list)):
            del part[path[-1]]
        elif action == "add":
            part[draw(KEYS)] = draw(ANYTHING)
        else:
            part[path[-1]] = draw(ANYTHING if action == "replace" else st.sampled_from([0, 1, 2, 3, 0.5, 1e-9, 64]))
    return content


def check(file: Path, text: str | bytes, **overrides: Any) -> None:
    """A message with one line per fault, or a space of which every value makes a valid trial."""
    try:
        space = load(file, text, **overrides)
    except SpaceError as error:
        lines = str(error).splitlines()
        if len(lines) > 1:
            assert lines[0].endswith(f"{len(lines) - 1} faults")
        assert len(set(lines)) == len(lines)
        return
    check_trials(space)


def check_trials(space: SearchSpace) -> None:
    """Of what is tried first, and of both ends of every dimension."""
    first = space.first_trials
    for params in first[:50]:
        space.config(params, 0)
    if space.sampler.type == "grid":
        assert len(first) == space.trials
    for end in (0, -1):
        values: dict[str, Any] = {}
        for name, dimension in space.dimensions.items():
            ends = dimension.choices if dimension.type == "categorical" else [dimension.low, dimension.high]
            if space.applies(name, values):
                values[name] = ends[end]
        assert isinstance(space.config(values, 0), TrialConfig)
    assert isinstance(middling(space, 0), TrialConfig)
    assert widest(space, 0)
    assert len(space.baselines) <= space.trials
    assert make_sampler(space, 0, 0) is not None


@QUICKLY
@given(ANYTHING)
def test_any_document_is_refused_in_words_or_is_a_space(file: Path, content: Any) -> None:
    check(file, yaml.safe_dump(content, allow_unicode=True))


@QUICKLY
@given(mutations())
def test_any_change_to_a_shipped_space_is_refused_in_words_or_is_a_space(file: Path, content: Any) -> None:
    check(file, yaml.safe_dump(content))


@QUICKLY
@given(st.data())
def test_any_damage_to_a_shipped_file_is_refused_in_words_or_is_a_space(file: Path, data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(SHIPPED)).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"[", b"}", b":", b"&a ", b"*a", b"\t", b"-"]))
        )
        text[position : position + data.draw(st.integers(0, 8))] = new
    check(file, bytes(text))


@QUICKLY
@given(
    st.lists(st.tuples(DOTTED, st.one_of(ANYTHING.map(yaml.safe_dump), st.text(max_size=8))), max_size=3),
    st.sampled_from(
        [*SHIPPED, "{}", "baselines: 3", "{search: [], baselines: {beta: 1}}", "fixed: ", "search: {beta: {when: 3}}"]
    ),
)
def test_any_setting_is_refused_in_words_or_is_a_space(file: Path, settings: list[tuple[str, str]], text: str) -> None:
    check(file, text, settings=[f"{key}={value}" for key, value in settings])


DIMENSIONS = st.fixed_dictionaries(
    {},
    optional={
        "latent_size": st.builds(
            lambda low, n, step, log: (
                {"type": "int", "low": low, "high": low + n * step}
                | ({"log": True} if log and step == 1 else {"step": step})
            ),
            st.integers(1, 9),
            st.integers(0, 9),
            st.integers(1, 7),
            st.booleans(),
        ),
        "beta": st.builds(
            lambda low, n, kind: {"type": "float", "low": low / 10, "high": (low + n) / 10} | kind,
            st.integers(1, 9),
            st.integers(0, 9),
            st.sampled_from([{}, {"log": True}, {"step": 0.1}]),
        ),
        "learning_rate": st.lists(st.sampled_from([1, 0.5, 1e-3, 1e-12]), min_size=1, max_size=3, unique=True).map(
            lambda choices: {"type": "categorical", "choices": choices}
        ),
        "activation": st.just({"type": "categorical", "choices": ["relu", "tanh", "elu"]}),
    },
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DIMENSIONS, st.sampled_from(["tpe", "random", "gp", "cmaes", "grid"]), st.integers(0, 99))
def test_every_sampler_proposes_trials_of_the_space(
    file: Path, search: dict[str, Any], sampler: str, seed: int
) -> None:
    content = {"description": "x", "trials": 1, "epochs": 3, "search": search, "sampler": {"type": sampler}}
    if sampler == "gp":
        content["scheduler"] = {"type": "none"}
    if sampler in ("tpe", "gp", "cmaes"):
        content["sampler"] = {"type": sampler, "startup_trials": 2}
    try:
        space = load(file, yaml.safe_dump(content))
    except SpaceError as error:
        assert sampler in ("grid", "cmaes"), error  # noqa: PT017
        return
    study = optuna.create_study(direction="maximize")
    distributions = {name: distribution(dimension) for name, dimension in space.dimensions.items()}
    for number in range(6):
        study.sampler = make_sampler(space, seed, number)
        trial = study.ask(distributions)
        config = space.config(trial.params, seed)
        for name, dimension in space.dimensions.items():
            value = getattr(config, name)
            if dimension.type == "categorical":
                assert value in dimension.choices
            else:
                assert dimension.low <= value <= dimension.high
                if dimension.step is not None:
                    steps = (value - dimension.low) / dimension.step
                    assert math.isclose(steps, round(steps), abs_tol=1e-6)
        study.tell(trial, -100.0 - number)
