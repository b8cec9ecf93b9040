"""Balanced classes: what training reads, what a weight means in every stage, what it changes."""

import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, open_dataset, training_batches
from components.evaluate import evaluate, logits_of
from components.models import build_model
from components.stages import STAGES, be_deterministic
from components.train import Context
from schemas.features import ExampleSchema
from schemas.fitting import Fitting
from schemas.stages import STAGE_KINDS, parse_config
from tests.components.conftest import write_dataset

WORDS = "dull flat film story good warm".split()
MODEL = {"family": "text_embedding", "width": 8, "tokens": 8}


def reviews(counts, *, seed, overlap=0.0):
    """Return (label, text) of so many examples per class; ``overlap`` blurs what tells them."""
    generator = np.random.default_rng(seed)
    rows = []
    for label, count in enumerate(counts):
        for _ in range(count):
            own = generator.random(3) < overlap
            told = [WORDS[-1 if side else 0] for side in own ^ (label == 1)]
            rows.append((label, " ".join([*told, *generator.choice(WORDS[1:-1], 4)])))
    return rows


def write(root, train, held_out, *, weights=None, copy=None):
    """Write a dataset; ``weights`` are those of the classes, ``copy`` is copy 1 of training."""

    def examples(split, rows):
        weigh = (lambda label: [float(weights[label])]) if weights else (lambda label: [])
        return [
            (f"{split}/{i}".encode(), label, text.encode(), *weigh(label))
            for i, (label, text) in enumerate(rows)
        ]

    schema = ExampleSchema(
        modality="text", label_names=("neg", "pos"), encoding="utf8", weights=weights is not None
    )
    rows = {("train", 0, 0): examples("train", train), ("eval", 0, 0): examples("eval", held_out)}
    if copy:
        rows["train", 1, 0] = examples("train", copy)
    return write_dataset(root, schema, rows, survey={}, vocabulary=["<OOV>", *WORDS])


@pytest.fixture(scope="module")
def level(tmp_path_factory):
    """Return 30 and 10 examples weighted 2/3 and 2, and the same with the latter three times."""
    few = reviews((30, 10), seed=1)
    many = few + 2 * [row for row in few if row[0] == 1]
    root = tmp_path_factory.mktemp("level")
    weighted = write(root / "weighted", few, few, weights=(2 / 3, 2.0))
    return open_dataset(weighted), open_dataset(write(root / "repeated", many, few))


def trained(kind, data, settings, *, seed=5):
    """Return the model of a stage; base and teacher are untrained and the same in every run."""
    be_deterministic(seed)
    options = parse_config("train", {"model": MODEL}).model
    base, teacher = build_model(options, data), build_model(options, data)
    network = {"model": MODEL}
    kept = {"words": len(WORDS)}  # the same one is left out of both datasets
    own = {"train": network, "distill": network, "vocabulary": kept, "widths": {"widths": [1, 0.5]}}
    own["search"] = {"floor": 0.01, "budget": 2, "rungs": 1, "criteria": ["l1"], "attention": 0}
    own["search"] |= {"methods": ["global"], "round_to": 1, "quantization": "float32"}
    model = own.get(kind, {})
    context = Context(
        data=data, base=base, teacher=teacher, seed=seed, progress=lambda line: None, notes={}
    )
    config = parse_config(kind, {"batch_size": data.examples("train"), **settings, **model})
    return STAGES[kind].run(context, config)


def test_weights_stay_with_their_examples(level):
    data, _ = level
    model = build_model(parse_config("train", {"model": MODEL}).model, data)
    rows = training_batches(data, model, copy=0, batch_size=8, seed=2)

    labels, weights = zip(*[(y.numpy(), w.numpy()) for _, y, w in rows], strict=True)
    labels, weights = np.concatenate(labels), np.concatenate(weights)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, np.array([2 / 3, 2.0], np.float32)[labels])
    assert weights.mean() == pytest.approx(1)


def test_a_promised_weight_that_is_missing_is_an_error(level, tmp_path):
    rows = [(b"a", 0, b"dull"), (b"b", 1, b"good")]
    schema = ExampleSchema(
        modality="text", label_names=("neg", "pos"), encoding="utf8", weights=True
    )
    root = write_dataset(
        tmp_path, schema, {("train", 0, 0): rows}, survey={}, vocabulary=["<OOV>", *WORDS]
    )
    model = build_model(parse_config("train", {"model": MODEL}).model, open_dataset(root))

    with pytest.raises(tf.errors.InvalidArgumentError, match="weight"):
        list(batches(open_dataset(root), "train", model, training=True))


@pytest.mark.parametrize(
    # What a compact network knows is chosen by counts of documents, which repetitions change.
    "kind",
    sorted(
        kind
        for kind, config in STAGE_KINDS.items()
        if issubclass(config, Fitting) and kind != "compact"
    ),
)
def test_a_weight_means_as_many_repetitions(kind, level):
    """Ignored weights would leave differences of 1e-3 and more."""
    settings = {"epochs": 2, "learning_rate": 2.0}
    weighted, repeated = (trained(kind, data, settings).get_weights() for data in level)

    for one, two in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_weights_help_the_rare_class_and_leave_scores_alone(tmp_path):
    train = reviews((380, 20), seed=2, overlap=0.25)
    held_out = reviews((200, 200), seed=3, overlap=0.25)
    plain = open_dataset(write(tmp_path / "plain", train, held_out))
    weighted = open_dataset(
        write(tmp_path / "weighted", train, held_out, weights=(400 / 760, 400 / 40))
    )
    settings = {"epochs": 4, "batch_size": 20, "optimizer": "adam", "learning_rate": 0.1}
    models = [trained("train", data, settings) for data in (plain, weighted)]

    def recalls(model):
        right = logits_of(model, weighted, "eval").argmax(axis=1) == np.repeat([0, 1], 200)
        return right[:200].mean(), right[200:].mean()

    (_, missed), (common, found) = map(recalls, models)
    assert found > missed + 0.2
    assert min(common, found) > 0.7
    # Scoring is unweighted: weights stored beside the examples change no figure.
    assert evaluate(models[1], plain) == evaluate(models[1], weighted)
    assert evaluate(models[1], weighted).accuracy == pytest.approx((common + found) / 2)


def test_a_longer_copy_stays_within_the_schedule(tmp_path):
    """Oversampling lengthens copies; a schedule counted on copy 0 would run below zero."""
    few, many = reviews((30, 10), seed=4), reviews((300, 300), seed=5)
    data = open_dataset(write(tmp_path, few, many[:300:10] + many[300::10], copy=many))
    settings = {"epochs": 2, "batch_size": 20, "learning_rate": 2.0, "copies": 2}

    assert evaluate(trained("train", data, settings), data).accuracy > 0.95
