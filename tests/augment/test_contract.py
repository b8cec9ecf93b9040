"""What every op promises. Ops are discovered: a new one is held to this by being registered."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.augment import registry
from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed
from pipelines.augment.policy import parse_policy
from pipelines.augment.presets import PRESETS
from tests import golden
from tests.augment.support import (
    batch_for,
    images,
    keys,
    missing_resource,
    needed,
    policy_of,
    rows,
    same,
)
from tests.golden import ops as golden_ops

ROOT = Path(__file__).parents[2]
ROWS = 24
SHAPES = [(1, 1, 3), (1, 9, 1), (5, 7, 1), (8, 20, 3), (33, 32, 3)]


def skip_without_resources(policy):
    reason = missing_resource(policy)
    if reason:
        pytest.skip(reason)


@pytest.fixture(params=registry.names())
def op(request):
    op = registry.get(request.param)
    skip_without_resources(policy_of(op))
    return op


@pytest.fixture(params=registry.names("image"))
def image_op(request):
    return registry.get(request.param)


def run(policy, batch, names, *, seed=5, copy=1):
    made, trace = policy.apply(batch, names, seed=seed, copy=copy, **needed(policy, names))
    return made, {column: values.tolist() for column, values in trace.items()}


def test_is_described(op):
    assert op.version >= 1
    assert op.family
    assert op.params
    assert op.summary.endswith(".")
    assert len(op.summary) <= 100


def test_leaves_its_input_alone(op):
    batch = batch_for(op, ROWS)
    before = pickle.dumps(batch)
    if isinstance(batch, np.ndarray):
        batch.flags.writeable = False
    run(policy_of(op), batch, keys(ROWS))
    assert pickle.dumps(rows(batch, range(ROWS))) == before


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_keeps_shape_and_type_of_images(image_op, shape):
    batch = images(ROWS, shape)
    made, _ = run(policy_of(image_op), batch, keys(ROWS))
    assert made.shape == batch.shape
    assert made.dtype == np.uint8


def test_takes_images_in_any_memory_layout(image_op):
    batch = images(ROWS, (16, 12, 3))
    mirrored = batch[:, ::-1, ::-1, ::-1]
    made, _ = run(policy_of(image_op), mirrored, keys(ROWS))
    expected, _ = run(policy_of(image_op), mirrored.copy(), keys(ROWS))
    assert same(made, expected)


def test_is_the_identity_at_strength_0(op):
    batch = batch_for(op, ROWS)
    made, _ = run(policy_of(op, strength=0), batch, keys(ROWS))
    assert same(made, batch)


def test_is_not_applied_at_probability_0(op):
    batch = batch_for(op, ROWS)
    made, trace = run(policy_of(op, probability=0), batch, keys(ROWS))
    assert same(made, batch)
    assert trace["slot0.op"] == [""] * ROWS


def test_changes_many_rows_at_strength_1(op):
    batch = batch_for(op, ROWS)
    made, _ = run(policy_of(op), batch, keys(ROWS))
    changed = sum(not same(made[i], batch[i]) for i in range(ROWS))
    assert changed > ROWS / 4


def test_differs_from_copy_to_copy_and_from_seed_to_seed(op):
    batch = batch_for(op, ROWS)
    if all(param.moments(1.0)[1] == 0 for param in op.params.values()):
        pytest.skip("no parameter of this op varies")
    reference, _ = run(policy_of(op), batch, keys(ROWS))
    other_copy, _ = run(policy_of(op), batch, keys(ROWS), copy=2)
    other_seed, _ = run(policy_of(op), batch, keys(ROWS), seed=6)
    assert not same(other_copy, reference)
    assert not same(other_seed, reference)
    assert not same(other_seed, other_copy)


def test_draws_each_row_its_own_parameters(op):
    _, trace = run(policy_of(op), batch_for(op, ROWS), keys(ROWS))
    for name, param in op.params.items():
        if param.moments(1.0)[1] > 0:
            assert len(set(trace[f"slot0.{op.name}.{name}"])) > 1


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(ROWS)), cut=st.integers(0, ROWS))
@pytest.mark.parametrize("name", registry.names())
def test_rows_do_not_depend_on_their_neighbours(name, order, cut):
    op = registry.get(name)
    skip_without_resources(policy_of(op))
    batch, names, policy = batch_for(op, ROWS), keys(ROWS), policy_of(op, probability=0.8)
    whole, whole_trace = run(policy, batch, names)
    # The partners of mixed rows are drawn from the whole batch, whatever its order.
    for part in [order] if policy.mixes() else [order[:cut], order[cut:]]:
        made, trace = run(policy, rows(batch, part), [names[i] for i in part])
        assert same(made, rows(whole, part))
        for column, values in trace.items():
            assert values == [whole_trace[column][i] for i in part]


@pytest.mark.parametrize("strength", [1.0, 0.35])
def test_parameters_follow_their_declaration(op, strength):
    count = 20_000
    values = op.sample(Draws.root(3, keys(count), 1), strength)
    for name, param in op.params.items():
        mean, spread = param.moments(strength)
        drawn = values[name].astype(np.float64)
        assert drawn.shape == (count,)
        assert drawn.mean() == pytest.approx(mean, abs=5 * spread / count**0.5 + 2**-16)
        assert drawn.std() == pytest.approx(spread, rel=0.03, abs=2**-16)
        stored = registry.as_stored(param, values[name])
        assert np.array_equal(stored.astype(np.float64), drawn) or isinstance(param, Seed)


def test_is_applied_as_often_as_asked(op):
    count = 4_000
    batch = images(1, (2, 2, 3)).repeat(count, 0) if op.modality == "image" else ["a b"] * count
    _, trace = run(policy_of(op, probability=0.3), batch, keys(count))
    applied = trace["slot0.op"].count(op.name)
    assert applied == pytest.approx(0.3 * count, abs=5 * (count * 0.3 * 0.7) ** 0.5)


def test_an_empty_batch_stays_empty(op):
    made, trace = run(policy_of(op), batch_for(op, 0), [])
    assert len(made) == 0
    assert {len(values) for values in trace.values()} == {0}


def test_survives_json_and_pickle(op):
    policy = policy_of(op, strength=0.5, probability=0.25)
    again = parse_policy(json.loads(json.dumps(policy.to_json())), op.modality)
    assert again.to_json() == policy.to_json()
    assert again.identity() == policy.identity()
    assert pickle.loads(pickle.dumps(policy)) == policy


INSTALLED = {"wordnet", "jpeg codec", "apertium eng-spa spa-eng"}
"""Resources that the machine brings; every other one follows from our own code and must agree."""


def check_golden(name, policy):
    stored, actual = golden.load("ops").get(name), golden_ops.entry(policy)
    if stored is None:
        pytest.fail(f"{name} has no golden digest yet: {golden.RENEW}")
    for resource in INSTALLED & stored["resources"].keys():
        if stored["resources"][resource] != actual["resources"].get(resource):
            pytest.skip(f"golden digest was made with another {resource}")
    assert actual == stored, f"{name} makes other bytes: raise the version and {golden.RENEW}"


def test_makes_the_golden_bytes(op):
    check_golden(f"op {op.name}", policy_of(op))


@pytest.mark.parametrize(
    ("modality", "name"), [(modality, name) for modality in PRESETS for name in PRESETS[modality]]
)
def test_presets_make_the_golden_bytes(modality, name):
    policy = parse_policy({"preset": name}, modality)
    skip_without_resources(policy)
    check_golden(f"{modality} preset {name}", policy)


def test_golden_file_holds_nothing_that_is_gone():
    presets = [f"{modality} preset {name}" for modality in PRESETS for name in PRESETS[modality]]
    expected = [f"op {name}" for name in registry.names()] + presets
    assert sorted(golden.load("ops")) == sorted(expected), golden.RENEW


def test_hash_seed_changes_nothing():
    command = [sys.executable, "-m", "tests.golden.ops"]
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == golden_ops.compute(skip_missing=True)
