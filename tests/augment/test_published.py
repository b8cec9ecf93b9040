"""The published policies against the papers' tables, written down here once more by hand."""

from collections import Counter

import numpy as np
import pytest

from pipelines.augment.context import Context
from pipelines.augment.draws import Draws
from pipelines.augment.execute import run_images
from pipelines.augment.image.augmix import chain
from pipelines.augment.policy import parse_policy
from pipelines.augment.registry import get
from schemas.errors import InputError
from tests.augment.support import images, keys

COUNT = 14_000
# Cubuk et al. 2020: 14 ops, of which "Identity" is no op; range of table 6 of AutoAugment.
SIGNED = {
    "rotate_fixed": ("degrees", 0.0, 30.0),
    "shear_x": ("amount", 0.0, 0.3),
    "shear_y": ("amount", 0.0, 0.3),
    "translate_x": ("amount", 0.0, 150 / 331),
    "translate_y": ("amount", 0.0, 150 / 331),
    "saturation": ("factor", 1.0, 0.9),
    "contrast_mean": ("factor", 1.0, 0.9),
    "brightness": ("factor", 1.0, 0.9),
    "sharpness": ("factor", 1.0, 0.9),
}
OPS = {*SIGNED, "autocontrast", "equalize", "posterize", "solarize", ""}
# Müller and Hutter 2021, table of the wide search space.
WIDE = {
    "rotate_fixed": 135.0,
    "shear_x": 0.99,
    "shear_y": 0.99,
    "translate_x": 1.0,  # 32 of 32 pixels
    "translate_y": 1.0,
    "saturation": 0.99,
    "contrast_mean": 0.99,
    "brightness": 0.99,
    "sharpness": 0.99,
}
# AutoAugment, table 7 (CIFAR-10), with every magnitude worked out from table 6.
SUB_POLICIES = """
invert 0.1 | contrast_mean 0.2 1.3
rotate_fixed 0.7 6.6667 | translate_x 0.3 0.45317
sharpness 0.8 0.3 | sharpness 0.9 0.7
shear_y 0.5 0.26667 | translate_y 0.7 0.45317
autocontrast 0.5 | equalize 0.9
shear_y 0.2 0.23333 | posterize 0.3 5
saturation 0.4 0.7 | brightness 0.6 1.5
sharpness 0.3 1.9 | brightness 0.7 1.9
equalize 0.6 | equalize 0.5
contrast_mean 0.6 1.5 | sharpness 0.6 1.1
saturation 0.7 1.5 | translate_x 0.5 0.40282
equalize 0.3 | autocontrast 0.4
translate_y 0.4 0.15106 | sharpness 0.2 1.3
brightness 0.9 1.3 | saturation 0.2 1.7
solarize 0.5 199 | invert 0
equalize 0.2 | autocontrast 0.6
equalize 0.2 | equalize 0.6
saturation 0.9 1.9 | equalize 0.6
autocontrast 0.8 | solarize 0.2 28
brightness 0.1 0.7 | saturation 0.7 0.1
solarize 0.4 114 | autocontrast 0.9
translate_y 0.9 0.45317 | translate_y 0.7 0.45317
autocontrast 0.9 | solarize 0.8 171
equalize 0.8 | invert 0.1
translate_y 0.7 0.45317 | autocontrast 0.9
"""
ONLY_PARAM = {"posterize": "bits", "solarize": "threshold"} | {op: SIGNED[op][0] for op in SIGNED}


def trace_of(mapping, count=COUNT, seed=3):
    policy = parse_policy(mapping, "image")
    _, trace = policy.apply(images(1, (1, 1, 3)).repeat(count, 0), keys(count), seed=seed, copy=1)
    return trace


def values(trace, slot, op, param):
    return trace[f"{slot}.{op}.{param}"][trace[f"{slot}.op"] == op].filled()


def check_even(counts, kinds):
    """Every kind occurs as often as the others, within five standard deviations."""
    total = sum(counts.values())
    expected = total / kinds
    assert len(counts) == kinds
    for number in counts.values():
        assert number == pytest.approx(expected, abs=5 * expected**0.5)


@pytest.mark.parametrize("m", [0, 9, 30])
def test_randaugment_has_the_ops_and_magnitudes_of_the_paper(m):
    trace = trace_of({"preset": "randaugment", "n": 1, "m": m})
    assert set(trace["slot0.op"]) == OPS
    for op, (param, identity, largest) in SIGNED.items():
        found = values(trace, "slot0", op, param)
        distance = found - identity
        assert np.abs(distance) == pytest.approx(np.full(len(found), largest * m / 30), abs=1e-4)
        if m:
            assert (distance > 0).mean() == pytest.approx(0.5, abs=0.09)
    bits = {0: 8, 9: 7, 30: 4}[m]
    assert set(values(trace, "slot0", "posterize", "bits")) == {bits}
    threshold = {0: 256, 9: 179, 30: 0}[m]
    assert set(values(trace, "slot0", "solarize", "threshold")) == {threshold}
    for op in ("autocontrast", "equalize"):
        assert set(values(trace, "slot0", op, "on")) == {1}


def test_randaugment_draws_n_ops_evenly_and_independently():
    trace = trace_of({"preset": "randaugment", "n": 2, "m": 9})
    assert [name for name in trace if name.endswith(".op")] == ["slot0.op", "slot1.op"]
    check_even(Counter(trace["slot0.op"]), 14)
    check_even(Counter(trace["slot1.op"]), 14)
    check_even(Counter(zip(trace["slot0.op"], trace["slot1.op"], strict=True)), 14 * 14)


def test_randaugment_without_magnitude_is_the_identity_of_ops_that_have_one():
    batch = images(300, (24, 20, 3))
    policy = parse_policy({"preset": "randaugment", "n": 1, "m": 0}, "image")
    made, trace = policy.apply(batch, keys(300), seed=1, copy=1)
    still = ~np.isin(trace["slot0.op"], ["autocontrast", "equalize"])
    assert np.array_equal(made[still], batch[still])


@pytest.mark.parametrize(
    ("arguments", "key"),
    [({"n": 0}, "n"), ({"n": 1.5}, "n"), ({"m": 31}, "m"), ({"m": True}, "m")],
)
def test_randaugment_refuses_what_it_has_not(arguments, key):
    with pytest.raises(InputError, match=f"{key} must be an integer in") as caught:
        parse_policy({"preset": "randaugment", **arguments}, "image")
    assert caught.value.path == (key,)


def test_trivialaugment_is_one_op_at_any_of_31_magnitudes():
    trace = trace_of({"preset": "trivialaugment"}, count=40_000)
    assert [name for name in trace if name.endswith(".op")] == ["slot0.op"]
    assert set(trace["slot0.op"]) == OPS
    check_even(Counter(trace["slot0.op"]), 14)
    for op, largest in WIDE.items():
        param, identity, _ = SIGNED[op]
        level = np.abs(values(trace, "slot0", op, param) - identity) / largest * 30
        assert level == pytest.approx(np.rint(level), abs=0.005)
        check_even(Counter(np.rint(level).astype(int)), 31)
    bits = values(trace, "slot0", "posterize", "bits")
    # 8 - round(level / 5): the ends of the range are rounded to by three levels, others by five.
    shares = np.bincount(bits, minlength=9)[2:] / len(bits)
    assert shares == pytest.approx(np.array([3, 5, 5, 5, 5, 5, 3]) / 31, abs=0.035)
    thresholds = values(trace, "slot0", "solarize", "threshold")
    expected = {int(np.floor(256 - 256 * level / 30 + 0.5)) for level in range(31)}
    assert set(thresholds) == expected
    check_even(Counter(thresholds), 31)


def test_autoaugment_has_the_sub_policies_of_the_paper():
    policy = parse_policy({"preset": "autoaugment_cifar10"}, "image")
    lines = SUB_POLICIES.strip().splitlines()
    assert len(lines) == len(policy.branches) == 25
    assert {branch.weight for branch in policy.branches} == {1.0}
    for line, branch in zip(lines, policy.branches, strict=True):
        for written, slot in zip(line.split(" | "), branch.slots, strict=True):
            name, probability, *magnitude = written.split()
            (call,) = slot.choices
            assert (call.op, call.probability, call.strength) == (name, float(probability), 1.0)
            if magnitude:
                op, param = call.resolved(), ONLY_PARAM[name]
                drawn = op.sample(Draws.root(1, keys(50), 1), 1.0)[param]
                shown = np.abs(drawn) if SIGNED.get(name, ("", 1))[1] == 0 else drawn
                expected = np.full(50, float(magnitude[0]))
                assert shown.astype(float) == pytest.approx(expected, abs=1e-4)


def test_autoaugment_draws_sub_policies_evenly_and_ops_by_their_probability():
    trace = trace_of({"preset": "autoaugment_cifar10"}, count=25_000)
    check_even(Counter(trace["branch"]), 25)
    for index, line in enumerate(SUB_POLICIES.strip().splitlines()):
        rows = trace["branch"] == index
        for slot, written in enumerate(line.split(" | ")):
            probability = float(written.split()[1])
            share = (trace[f"slot{slot}.op"][rows] != "").mean()
            assert share == pytest.approx(probability, abs=0.08)


def test_augmix_chains_have_the_nine_ops_of_the_paper_and_one_to_three_of_them():
    policy = chain(3, 3)
    geometric = {"rotate_fixed", "shear_x", "shear_y", "translate_x", "translate_y"}
    nine = geometric | {"autocontrast", "equalize", "posterize", "solarize"}
    assert [len(branch.slots) for branch in policy.branches] == [1, 2, 3]
    for branch in policy.branches:
        for slot in branch.slots:
            assert {call.op for call in slot.choices} == nine
            assert set(slot.weights) == {1.0}
    count = 12_000
    _, trace = policy.apply(images(1, (1, 1, 3)).repeat(count, 0), keys(count), seed=1, copy=1)
    check_even(Counter(trace["branch"]), 3)
    degrees = np.abs(values(trace, "slot0", "rotate_fixed", "degrees"))
    assert degrees.min() == pytest.approx(0.3, abs=0.1)  # level 0.1 of 10
    assert degrees.max() == pytest.approx(9, abs=0.1)  # level 3 of 10
    assert set(values(trace, "slot0", "posterize", "bits")) == {3, 4}
    assert values(trace, "slot0", "solarize", "threshold").min() == pytest.approx(256 * 0.7, abs=1)


def test_augmix_goes_further_from_the_image_the_larger_its_share():
    share = np.linspace(0, 1, 200)
    options = {"width": 3, "depth": 3, "severity": 1}
    noise = images(200, (9, 9, 3))
    mixed = get("augmix").kernel(noise, share=share, seed=np.arange(200), **options)
    distance = np.abs(mixed.astype(int) - noise).mean(axis=(1, 2, 3))
    assert distance[0] == 0
    assert np.corrcoef(distance, share)[0, 1] > 0.5


def test_augmix_refuses_half_a_chain():
    with pytest.raises(InputError, match="width must be an integer, got 2.5"):
        parse_policy({"preset": "augmix", "width": 2.5}, "image")


def test_augmix_mixes_what_its_chains_made():
    batch = images(60, (16, 16, 3))
    seed, share = np.arange(60), np.ones(60)
    made = get("augmix").kernel(batch, share=share, seed=seed, width=1, depth=2, severity=5)
    draws = Draws.from_seeds(seed).stream("chain 0")
    expected, _ = run_images(chain(2, 5), batch, [], draws, None, Context())
    assert np.array_equal(made, expected)
