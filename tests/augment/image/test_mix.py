import numpy as np
import pytest
from scipy import stats

from pipelines.augment import registry
from pipelines.augment.beta import SHARES, Beta, share_limits
from pipelines.augment.draws import Draws
from pipelines.augment.policy import parse_policy
from pipelines.augment.soft_labels import soft_labels
from schemas.errors import InputError
from tests.augment.support import images, keys

ROWS = 200


def apply(mapping, count=ROWS, shape=(8, 6, 3), **options):
    policy = parse_policy(mapping, "image")
    return policy.apply(images(count, shape), keys(count), seed=3, copy=1, **options)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4, 1.0, 2.5, 16.0])
def test_shares_follow_the_beta_distribution(alpha):
    limits = share_limits(alpha)
    expected = stats.beta.cdf((np.arange(SHARES) + 0.5) / SHARES, alpha, alpha)
    assert limits == pytest.approx(expected, abs=1e-12)
    drawn = Beta(alpha).sample(Draws.root(1, keys(20_000), 1), 1.0)
    assert (drawn * SHARES == np.rint(drawn * SHARES)).all()
    counted = np.bincount((drawn * SHARES).astype(int), minlength=SHARES + 1)
    assert np.abs(np.cumsum(counted)[:SHARES] / 20_000 - limits).max() < 0.012


def test_alpha_is_the_option_and_has_limits():
    assert Beta(1.0).override(0.2).describe() == 0.2
    with pytest.raises(InputError, match=r"must be in \[0.05, 16\], got 0"):
        Beta(1.0).override(0)


def test_mixup_by_hand():
    batch = np.array([0, 100, 255], np.uint8).reshape(3, 1, 1, 1)
    partners = np.array([255, 201, 0], np.uint8).reshape(3, 1, 1, 1)
    share = np.array([0.5, 0.25, 0.0])
    mixed, weight = registry.get("mixup").kernel(batch, partners, share=share)
    assert mixed.reshape(-1).tolist() == [128, 125, 255]
    assert weight.tolist() == share.tolist()


def test_mixup_is_within_half_a_level_of_the_formula():
    batch, partners = images(50, (40, 40, 3)), images(100, (40, 40, 3))[50:]
    share = np.arange(50) / 49
    share = np.rint(share * SHARES) / SHARES
    mixed, _ = registry.get("mixup").kernel(batch, partners, share=share)
    part = share[:, None, None, None]
    assert np.abs(mixed - (batch * (1 - part) + partners * part)).max() <= 0.5


def test_cutmix_by_hand():
    batch, partners = np.zeros((3, 8, 6, 1), np.uint8), np.ones((3, 8, 6, 1), np.uint8)
    x, y = np.array([0.5, 0.0, 0.99]), np.array([0.5, 0.0, 0.99])
    mixed, weight = registry.get("cutmix").kernel(
        batch, partners, share=np.array([0.25, 0.25, 1.0]), x=x, y=y
    )
    expected = np.zeros((3, 8, 6), np.uint8)
    expected[0, 2:6, 2:4] = 1  # half the sides: 4 x 3 pixels, of which the width is made even
    expected[1, :2, :1] = 1  # centred on a corner: a quarter is left
    expected[2, 3:, 2:] = 1
    assert np.array_equal(mixed[..., 0], expected)
    assert weight == pytest.approx(expected.mean(axis=(1, 2)))
    assert not batch.any()


def test_cutmix_weighs_the_label_by_the_pixels_of_the_partner():
    made, trace = apply({"slots": ["cutmix"]}, shape=(32, 32, 3))
    given = images(ROWS, (32, 32, 3))
    row_of = {key: row for row, key in enumerate(keys(ROWS))}
    partners = given[[row_of[key] for key in trace["slot0.cutmix.partner"]]]
    from_partner = (made != given).any(axis=3)
    assert (made[from_partner] == partners[from_partner]).all()
    replaced = from_partner.mean(axis=(1, 2))
    assert trace["slot0.cutmix.weight"].filled() == pytest.approx(replaced, abs=0.005)


def test_partners_are_others_and_any_other():
    _, trace = apply({"slots": ["mixup"]}, count=20)
    assert (trace["slot0.mixup.partner"] != np.array(keys(20))).all()
    counts = {key: 0 for key in keys(6)}
    policy = parse_policy({"slots": ["mixup"]}, "image")
    for copy in range(1, 1201):
        _, trace = policy.apply(images(6, (1, 1, 1)), keys(6), seed=3, copy=copy)
        counts[trace["slot0.mixup.partner"][2]] += 1
    assert counts.pop(keys(6)[2]) == 0
    assert list(counts.values()) == pytest.approx([240] * 5, abs=70)


def test_an_example_alone_is_its_own_partner():
    made, trace = apply({"slots": ["mixup", "cutmix"]}, count=1)
    assert np.array_equal(made, images(1, (8, 6, 3)))
    assert trace["slot0.mixup.partner"].tolist() == keys(1)
    assert soft_labels(trace, keys(1), np.array([2]), 4).tolist() == [[0, 0, 1, 0]]


def test_the_partner_is_the_original_whatever_is_done_to_it():
    mapping = {"slots": [{"op": "invert", "labels": [1]}, "cutmix"]}
    labels = np.arange(ROWS) % 2
    made, trace = apply(mapping, labels=labels)
    given = images(ROWS, (8, 6, 3))
    row_of = {key: row for row, key in enumerate(keys(ROWS))}
    partners = given[[row_of[key] for key in trace["slot1.cutmix.partner"]]]
    own = np.where(labels[:, None, None, None] == 1, 255 - given, given)
    assert ((made == own) | (made == partners)).all()


def test_soft_labels_by_hand():
    trace = {
        "slot1.cutmix.partner": np.array(["", "a", "a"], object),
        "slot1.cutmix.weight": np.ma.array([0, 0.5, 0.25], mask=[1, 0, 0], dtype=np.float32),
        "slot0.mixup.partner": np.array(["", "c", "b"], object),
        "slot0.mixup.weight": np.ma.array([0, 0.25, 1], mask=[1, 0, 0], dtype=np.float32),
        "slot0.op": np.array(["", "mixup", "mixup"], object),
    }
    soft = soft_labels(trace, ["a", "b", "c"], np.array([0, 1, 2]), 3)
    assert soft.dtype == np.float32
    assert soft.tolist() == [[1, 0, 0], [0.5, 0.375, 0.125], [0.25, 0.75, 0]]


def test_soft_labels_of_originals_are_their_labels():
    labels = np.arange(ROWS) % 10
    policy = parse_policy({"slots": ["mixup"]}, "image")
    batch = images(ROWS, (2, 2, 3))
    _, trace = policy.apply(batch, keys(ROWS), seed=3, copy=0)
    assert np.array_equal(soft_labels(trace, keys(ROWS), labels, 10), np.eye(10)[labels])
    _, trace = policy.apply(batch, keys(ROWS), seed=3, copy=1)
    soft = soft_labels(trace, keys(ROWS), labels, 10)
    assert soft.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert soft[np.arange(ROWS), labels].mean() == pytest.approx(0.5 + 0.5 / 10, abs=0.06)


def test_only_policies_that_mix_say_so():
    assert parse_policy({"slots": ["zoom", {"choose": ["shear", "cutmix"]}]}, "image").mixes()
    assert not parse_policy({"preset": "classic"}, "image").mixes()
