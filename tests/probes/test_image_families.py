"""What every family of image corruptions promises. Families are discovered from the registry."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_sample_images

from pipelines.augment import registry
from pipelines.augment.policy import parse_policy
from pipelines.probes.family import probe_draws
from pipelines.probes.images import COLOUR_ONLY, IMAGE_FAMILIES
from schemas import probes
from schemas.errors import InputError
from tests import golden
from tests.augment.support import images, keys
from tests.golden import probes as golden_probes

ROOT = Path(__file__).parents[2]
ROWS = 8
SHAPES = [(8, 8, 1), (8, 21, 3), (33, 17, 3), (40, 9, 1)]
NOISES = {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"}
COLOURED = NOISES | {"snow", "frost", "fog", "spatter", "jpeg_compression"}
DEGRADED = {"brightness", "contrast", "pixelate", "jpeg_compression"}
WITHOUT_CHANCE = DEGRADED | {"defocus_blur", "zoom_blur", "gaussian_blur"}
ROW = re.compile(r"^\| (\w+) \| ([\d., ]+) \|(?: ([\w, ]+))? \|$", re.M)
DOCUMENTED = {
    name: ([float(one) for one in changes.split(", ")], tuple(ops.split(", ")) if ops else ())
    for name, changes, ops in ROW.findall((ROOT / "docs" / "robustness.md").read_text("utf-8"))
}


@pytest.fixture(params=list(IMAGE_FAMILIES))
def family(request):
    return IMAGE_FAMILIES[request.param]


@cache
def photographs(side):
    """Return three squares of each photograph of scikit-learn, ``uint8[6, side, side, 3]``."""
    squares = [
        np.ascontiguousarray(photograph[:, left : left + 427])
        for photograph in load_sample_images().images
        for left in (0, 106, 213)
    ]
    shrunk = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in squares]
    return np.stack(shrunk)


@cache
def digits():
    return (load_digits().images[:150, :, :, None] * 15.9).astype(np.uint8)


def changes(family, batch):
    """Return the mean absolute change per severity, in grey levels."""
    names = [f"row {i}" for i in range(len(batch))]
    made = (family.apply(batch, names, severity=one, seed=1) for one in probes.SEVERITIES)
    return [np.abs(one.astype(int) - batch).mean() for one in made]


def test_the_registry_is_that_of_the_settings():
    assert tuple(IMAGE_FAMILIES) == probes.IMAGE_FAMILIES
    assert [one.name for one in IMAGE_FAMILIES.values()] == list(probes.IMAGE_FAMILIES)
    assert tuple(DOCUMENTED) == probes.IMAGE_FAMILIES


def test_is_described(family):
    assert family.summary.endswith(".")
    assert len(family.summary) <= 100
    assert set(family.ops) <= set(registry.names("image"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_keeps_shape_and_type_and_its_input(family, shape):
    batch = images(ROWS, shape)
    before = batch.copy()
    batch.flags.writeable = False
    for severity in probes.SEVERITIES:
        made = family.apply(batch, keys(ROWS), severity=severity, seed=5)
        assert made.shape == batch.shape
        assert made.dtype == np.uint8
        assert not np.shares_memory(made, batch)
        made[:] = 0
    assert np.array_equal(batch, before)


def test_takes_images_in_any_memory_layout(family):
    mirrored = images(ROWS, (16, 12, 3))[:, ::-1, ::-1, ::-1]
    for given_images in (mirrored, mirrored[:, ::2].transpose(0, 2, 1, 3)):
        made = family.apply(given_images, keys(ROWS), severity=4, seed=5)
        expected = family.apply(given_images.copy(order="C"), keys(ROWS), severity=4, seed=5)
        assert np.array_equal(made, expected)


@settings(max_examples=8, deadline=None)
@given(
    order=st.permutations(range(ROWS)),
    cut=st.integers(0, ROWS),
    severity=st.sampled_from(probes.SEVERITIES),
)
@pytest.mark.parametrize("name", IMAGE_FAMILIES)
def test_rows_do_not_depend_on_their_neighbours(name, order, cut, severity):
    family, batch, names = IMAGE_FAMILIES[name], images(ROWS, (12, 16, 3)), keys(ROWS)
    whole = family.apply(batch, names, severity=severity, seed=5)
    for part in (order[:cut], order[cut:]):
        some = [names[i] for i in part]
        made = family.apply(batch[list(part)], some, severity=severity, seed=5)
        assert np.array_equal(made, whole[list(part)])


def test_large_batches_are_worked_in_parts_that_do_not_show(family):
    batch = images(3, (720, 730, 1))
    whole = family.apply(batch, keys(3), severity=3, seed=5)
    assert np.array_equal(whole[2:], family.apply(batch[2:], keys(3)[2:], severity=3, seed=5))


def test_key_seed_and_severity_decide_what_is_drawn(family):
    batch = images(1, (24, 24, 3), smooth=True).repeat(ROWS, axis=0)
    made = family.apply(batch, keys(ROWS), severity=3, seed=5)
    distinct = len({one.tobytes() for one in made})
    again = family.apply(batch, keys(ROWS), severity=3, seed=6)
    if family.name in WITHOUT_CHANCE:
        assert distinct == 1
        assert np.array_equal(made, again)
    else:
        assert distinct == (2 if family.name == "saturate" else ROWS)
        assert not np.array_equal(made, again)


@pytest.mark.parametrize("side", [16, 32, 100])
def test_photographs_change_more_with_every_severity(family, side):
    copies = 16 if side < 100 else 4
    assert np.all(np.diff([0.0, *changes(family, photographs(side).repeat(copies, axis=0))]) > 0)


def test_digits_change_more_with_every_severity(family):
    found = changes(family, digits())
    if family.name in COLOUR_ONLY:
        assert found == [0.0] * 5
    else:
        assert np.all(np.diff([0.0, *found]) > 0)


def test_is_as_documented(family):
    found = changes(family, photographs(32).repeat(32, axis=0))
    changed, ops = DOCUMENTED[family.name]
    assert found == pytest.approx(changed, rel=0.1)
    assert family.ops == ops


def test_grey_stays_grey_where_colour_has_no_part(family):
    """What strikes all channels alike treats a grey image as it treats three equal channels."""
    if family.name in COLOURED:
        pytest.skip("coloured by nature")
    grey = images(ROWS, (20, 16, 1), smooth=True)
    one = family.apply(grey, keys(ROWS), severity=3, seed=5)
    three = family.apply(grey.repeat(3, axis=3), keys(ROWS), severity=3, seed=5)
    assert np.abs(three.astype(int) - one).max() <= 1


def test_an_empty_batch_stays_empty(family):
    made = family.apply(images(2, (9, 9, 3))[:0], [], severity=1, seed=5)
    assert made.shape == (0, 9, 9, 3)


@pytest.mark.parametrize(
    ("batch", "severity", "message"),
    [
        (images(1, (8, 8, 3)), 0, "1 \\(least\\) to 5, not 0"),
        (images(1, (8, 8, 3)), 6, "not 6"),
        (images(1, (7, 30, 3)), 1, "at least 8 pixels a side can be corrupted, got 30x7"),
        (images(1, (8, 8, 3)).astype(float), 1, "uint8"),
        (images(1, (8, 8, 3))[0], 1, "uint8\\[N, H, W, C\\]"),
        (images(2, (8, 8, 3)), 1, "a key per row"),
    ],
)
def test_refuses_what_it_cannot_corrupt(family, batch, severity, message):
    with pytest.raises(InputError, match=message):
        family.apply(
            batch, ["a"] * (len(batch) if len(batch) != 2 else 1), severity=severity, seed=1
        )


def test_refuses_draws_of_other_rows(family):
    with pytest.raises(InputError, match="a generator per image"):
        family.corrupt(images(2, (8, 8, 3)), 1, probe_draws(family.name, ["a"], 1, 5))


def test_noise_is_not_that_of_training():
    """Equal seed, keys and kernel: the noise of copies and of probes has nothing in common."""
    batch = np.full((ROWS, 64, 64, 1), 128, np.uint8)
    names = keys(ROWS)
    policy = parse_policy({"slots": [{"op": "gaussian_noise", "sigma": 15}]}, "image")
    probe = IMAGE_FAMILIES["gaussian_noise"].apply(batch, names, severity=3, seed=5)
    for copy in (1, 2):
        made, _ = policy.apply(batch, names, seed=5, copy=copy)
        both = np.corrcoef(made.ravel().astype(float), probe.ravel().astype(float))[0, 1]
        assert abs(both) < 5 / np.sqrt(batch.size)


def test_makes_the_golden_bytes(family):
    stored, actual = golden.load("probes").get(family.name), golden_probes.entry(family)
    if stored is None:
        pytest.fail(f"{family.name} has no golden digest yet: {golden.RENEW}")
    if stored["resources"] != actual["resources"]:
        pytest.skip("golden digest was made with another jpeg codec")
    assert actual == stored, f"{family.name} makes other bytes: raise version and {golden.RENEW}"


def test_golden_file_holds_nothing_that_is_gone():
    assert sorted(golden.load("probes")) == sorted(IMAGE_FAMILIES), golden.RENEW


def test_an_older_processor_makes_the_same():
    """In another process, whose libraries may not use what newer processors can."""
    older = {
        "PYTHONHASHSEED": "4242",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3 AVX512_SPR AVX512_ICL AVX512_SKX AVX2 FMA3",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.probes"],
        cwd=ROOT,
        env={**os.environ, **older},
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == golden_probes.compute()
