"""Features that are stored for training, read by training: from a recipe to a network's batch."""

import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, open_dataset, records, training_batches
from components.export import export
from components.models import build_model
from pipelines.dataset.images import encode_png
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import encode_example
from schemas.fitting import ImageModel, TextModel
from tests.dataset.support import (
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)

CAFE = "The FILM<br />isn't, a plot... café ÉTÉ good story! 10/10".split()


def built(recipe, folder):
    return open_dataset(materialize(make_plan(parsed(recipe), str(folder))).path)


def skewed(count, seed):
    """Return records of which every fourth has label 1, the others 0."""
    return [
        encode_example({"image": png, "label": int(i % 4 == 0), "id": b"picture"})
        for i, png in enumerate(encode_png(pictures(count, seed)))
    ]


def test_classes_are_weighted_beside_mixed_labels(tmp_path):
    parts = {"train": [skewed(60, 1)], "test": [skewed(12, 2)]}
    write_tfds(tmp_path / "tfds", parts)
    policy = {"slots": [{"op": "mixup", "probability": 0.5}]}
    data = built(tfds_recipe(tmp_path / "tfds", policy=policy, balance="weights"), tmp_path / "out")
    model = build_model(ImageModel(width=4), data)

    for copy in (0, 1):
        hard = np.concatenate([y for _, y in batches(data, "train", model, copy=copy)])
        counts = np.bincount(hard)
        fixed = batches(data, "train", model, copy=copy, training=True)
        soft, weights = (np.concatenate([row[i] for row in fixed]) for i in (1, 2))

        assert len(counts) == 2
        assert soft.shape == (len(hard), 2)
        assert weights == pytest.approx((len(hard) / (2 * counts))[hard])
        shuffled = training_batches(data, model, copy=copy, batch_size=len(hard), seed=4)
        ((_, *drawn),) = shuffled
        assert rows(*drawn) == rows(soft, weights)


def rows(labels, weights):
    """Return pairs of soft label and weight in one order."""
    return sorted(np.column_stack([labels, weights]).tolist())


@pytest.mark.parametrize("options", [{}, {"truncate": "tail", "pad": "left"}])
def test_stored_tokens_are_what_a_model_of_the_same_options_reads(tmp_path, options):
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(CAFE, size)) for size in random.integers(0, 14, 60)]
    parts = {"train": [text_records(texts[:48])], "test": [text_records(texts[48:])]}
    write_tfds(tmp_path / "tfds", parts, shape=None)
    recipe = tfds_recipe(
        tmp_path / "tfds",
        modality="text",
        policy={"slots": ["random_swap"]},
        text={"store_tokens": True, "tokens": 6, **options},
        survey={"vocabulary": 8},
    )
    data = built(recipe, tmp_path / "out")
    model = build_model(TextModel(width=4, tokens=6, **options), data)
    export(model, data, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    spec = {"tokens": tf.io.FixedLenFeature([6], tf.int64)}

    for split, copy in (("train", 0), ("train", 1), ("test", 0)):
        ((examples),) = records(data, split, copy).batch(100)
        stored = tf.io.parse_example(examples, spec)["tokens"].numpy()
        ((read, _),) = batches(data, split, model, copy=copy)

        np.testing.assert_array_equal(read.numpy(), stored)
        answer = served(examples=examples)["logits"]
        np.testing.assert_allclose(answer, model(stored.astype(np.int32)), atol=1e-5)
