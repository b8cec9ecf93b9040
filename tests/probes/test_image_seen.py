"""Which families of image corruptions a training policy has shown a model."""

import inspect

import pytest

from pipelines.augment import registry
from pipelines.augment.calls import Branch, OpCall, Slot
from pipelines.augment.policy import Policy, parse_policy
from pipelines.augment.presets import PRESETS
from pipelines.probes.family import INNER, Family, ops_of, seen
from pipelines.probes.images import IMAGE_FAMILIES

SOFT = {"defocus_blur", "gaussian_blur"}
TONE = {"brightness", "contrast", "saturate"}
PUBLISHED = SOFT | TONE
SEEN = {
    "none": set(),
    "classic": set(),
    "classic_colour": {"brightness", "contrast"},
    "randaugment": PUBLISHED,
    "trivialaugment": PUBLISHED,
    "autoaugment_cifar10": PUBLISHED,
    "augmix": {"contrast"},  # autocontrast and equalize, in its chains
}
NOISE = {"gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise"}


def policy(*slots):
    return parse_policy({"slots": list(slots)}, "image")


@pytest.mark.parametrize("name", PRESETS["image"])
def test_of_the_shipped_presets(name):
    assert seen(IMAGE_FAMILIES, parse_policy({"preset": name}, "image")) == SEEN[name]


@pytest.mark.parametrize("op", ["gaussian_noise", "shot_noise", "speckle_noise"])
def test_additive_noise_shows_its_kind_and_impulses(op):
    assert seen(IMAGE_FAMILIES, policy(op)) == NOISE


@pytest.mark.parametrize("op", ["impulse_noise", "salt_and_pepper"])
def test_impulses_show_themselves_alone(op):
    assert seen(IMAGE_FAMILIES, policy(op)) == {"impulse_noise"}


def test_every_family_of_an_op_is_seen_by_it():
    for family in IMAGE_FAMILIES.values():
        for op in family.ops:
            assert family.name in seen(IMAGE_FAMILIES, policy(op))


def test_one_choice_of_one_branch_is_enough_however_rare():
    nested = {
        "branches": [
            {"weight": 99, "slots": ["flip_horizontal"]},
            {
                "weight": 1,
                "slots": [
                    "rotate",
                    {
                        "choose": [
                            {"op": "shear", "weight": 99},
                            {
                                "op": "jpeg",
                                "weight": 1,
                                "probability": 0.01,
                                "strength": [0, 0.01],
                                "labels": [3],
                            },
                        ]
                    },
                ],
            },
        ]
    }
    assert seen(IMAGE_FAMILIES, parse_policy(nested, "image")) == {"jpeg_compression"}


@pytest.mark.parametrize("never", [{"probability": 0}, {"strength": 0}])
def test_what_cannot_happen_is_not_seen(never):
    calls = [{"op": "gaussian_noise", **never}, {"op": "augmix", **never}]
    assert seen(IMAGE_FAMILIES, policy(*calls)) == set()


def test_weight_0_is_never_drawn():
    noise, flip = OpCall("gaussian_noise"), OpCall("flip_horizontal")
    slot = Slot((noise, flip), (0.0, 1.0))
    branches = (Branch(1.0, (slot,)), Branch(0.0, (Slot((OpCall("jpeg"),), (1.0,)),)))
    assert ops_of(Policy("image", branches)) == {"flip_horizontal"}


def test_ops_inside_of_ops_count():
    assert {"augmix", "equalize", "shear_x"} <= ops_of(policy("augmix"))
    assert ops_of(policy("augmix", "jpeg")) == ops_of(policy("augmix")) | {"jpeg"}


def test_every_op_that_applies_others_is_known():
    """Such a kernel runs a policy; one that is not listed would hide what it shows."""
    for name in registry.names():
        source = inspect.getsource(registry.get(name).kernel)
        runs_policies = "run_images" in source or "run_texts" in source or ".apply(" in source
        assert runs_policies == (name in INNER), name


def test_takes_families_without_their_names():
    some = [IMAGE_FAMILIES["shot_noise"], IMAGE_FAMILIES["fog"]]
    assert seen(some, policy("gaussian_noise")) == {"shot_noise"}
    other = Family(name="other", summary="", ops=("hue",), corrupt=lambda batch, *_: batch)
    assert seen([other], policy("hue")) == {"other"}
