"""Masks: which weights go, that they stay gone, and what that makes of the files."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from components import train
from components.data import open_dataset
from components.evaluate import evaluate
from components.lite import LiteModel, convert
from components.prune import mask_stage
from components.prune.masks import cubic, enforced, kernels, magnitude, pattern, sparsity
from components.stages import be_deterministic, load_model, run_stage
from components.train import Context
from schemas.errors import InputError
from schemas.stages import parse_config

FAST = {"batch_size": 50, "learning_rate": 0.05, "calibration": 200, "examples": 300, "copies": 1}


def network():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(8, 3, name="first")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(16, 3, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


def test_a_global_ratio_masks_the_smallest_of_all_exactly():
    model = network()
    masks = magnitude(model, ratio=0.7)
    sizes = {name: np.abs(one.numpy()) for name, one in kernels(model).items()}
    total = sum(one.size for one in sizes.values())

    assert sum(int((~one).sum()) for one in masks.values()) == round(0.7 * total)
    gone = np.concatenate([sizes[name][~mask] for name, mask in masks.items()])
    kept = np.concatenate([sizes[name][mask] for name, mask in masks.items()])
    assert gone.max() <= kept.min()
    by_value = magnitude(model, threshold=float(kept.min()))
    assert all((by_value[name] == masks[name]).all() for name in masks)


def test_a_ratio_by_layer_is_exact_in_each_and_spares_protected_ones():
    masks = magnitude(network(), ratio=0.5, scope="layer", protected=["log*"])
    assert set(masks) == {"first", "second"}
    assert all(mask.mean() == 0.5 for mask in masks.values())


def test_a_pattern_keeps_the_largest_of_each_group_of_inputs():
    model = network()
    masks = pattern(model, 2, 4)
    assert set(masks) == {"first", "second", "logits"}
    mask, kernel = masks["second"], np.abs(kernels(model)["second"].numpy())
    for start in (0, 4):
        group, kept = kernel[:, :, start : start + 4], mask[:, :, start : start + 4]
        assert (kept.sum(axis=2) == 2).all()
        assert (np.where(kept, group, np.inf).min(2) >= np.where(kept, 0, group).max(2)).all()
    assert "first" not in pattern(model, 2, 8)  # 4 inputs hold no group of 8


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fit_leaves_every_masked_weight_at_zero_and_saves_a_plain_model(tmp_path, optimizer):
    model = network()
    masks = magnitude(model, ratio=0.8)
    inputs = np.random.default_rng(0).normal(size=(64, 8, 8, 4)).astype("float32")
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with enforced(model, masks):
        before = kernels(model)["second"].numpy()
        model.fit(inputs, np.arange(64) % 3, epochs=3, verbose=0)
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert (kernels(model)["second"].numpy() != before).any()
    for one in (model, loaded):
        for name, mask in masks.items():
            value = kernels(one)[name].numpy()
            assert not value[~mask].any()
            assert value[mask].all()
        assert all(kernel.constraint is None for kernel in kernels(one).values())
    assert sum(one.zeros for one in sparsity(loaded)) == sum((~one).sum() for one in masks.values())


def test_an_own_constraint_goes_on_and_comes_back():
    model = network()
    own = keras.constraints.NonNeg()
    kernel = kernels(model)["second"]
    kernel.constraint = own
    masks = magnitude(model, ratio=0.5)
    with enforced(model, masks):
        value = kernel.constraint(kernel.value).numpy()
    assert (value >= 0).all()
    assert not value[~masks["second"]].any()
    assert kernel.constraint is own


def test_sparse_tflite_files_shrink_with_the_masks():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((64,))
    x = keras.layers.Dense(256, activation="relu")(inputs)
    x = keras.layers.Dense(256, activation="relu")(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    with enforced(model, magnitude(model, ratio=0.9)):
        pass
    dense, sparse = (convert(model, "float32", sparse=choice) for choice in (False, True))
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype("float32")

    assert len(sparse) < 0.5 * len(dense)
    np.testing.assert_allclose(LiteModel(sparse).logits(rows), model(rows).numpy(), atol=1e-5)


def test_the_cubic_schedule_is_steep_at_first_and_ends_exactly():
    shares = [cubic(0.8, step, 4) for step in range(5)]
    assert shares[0] == 0
    assert shares[-1] == 0.8
    assert (np.diff(shares, 2) < 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 0.5, "protected": ["nowhere"]}, "nowhere"),
        ({"ratio": 0.5, "threshold": 0.1}, "exactly one"),
        ({"ratio": 0.5, "scope": "all"}, "scope"),
        ({"threshold": 100.0}, "lose all"),
    ],
)
def test_what_cannot_be_masked_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        magnitude(network(), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.1}, "exactly one"),
        ({"ratio": None}, "exactly one"),
        ({"ratio": None, "pattern": "4:2"}, "fewer than its group"),
        ({"ratio": None, "pattern": "2:4", "rounds": 3}, "masks at once"),
        ({"ratio": None, "threshold": 0.1, "scope": "layer"}, "is for ratio"),
    ],
)
def test_settings_that_contradict_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        parse_config("mask", settings)


@pytest.fixture(scope="module")
def base(digits_dir):
    be_deterministic(3)
    model = {"family": "image_resnet", "width": 8}
    config = parse_config("train", {"model": model, "epochs": 6, "batch_size": 50, "copies": 1})
    return train.run(context(open_dataset(digits_dir), None), config)


def context(data, base):
    return Context(data=data, base=base, teacher=None, seed=1, progress=str, notes={})


def test_stage_reaches_its_ratio_in_rounds_and_reports_layers(base, digits_dir):
    data = open_dataset(digits_dir)
    model = keras.models.clone_model(base)
    model.set_weights(base.get_weights())
    given = context(data, model)
    result = mask_stage.run(
        given, parse_config("mask", FAST | {"ratio": 0.8, "rounds": 2, "epochs": 2})
    )
    notes = given.notes

    assert notes["zeros"] == sum(one.zeros for one in sparsity(result))
    assert notes["zeros"] == round(0.8 * notes["weights"])
    assert notes["layers"].keys() == kernels(result).keys()
    assert notes["whole"] == []
    assert evaluate(result, data).accuracy > 0.5


def test_stage_writes_a_plain_model_and_its_quantised_file_is_smaller(base, digits_dir, tmp_path):
    folder = tmp_path / "base"
    (folder / "keras").mkdir(parents=True)
    base.save(folder / "keras/model.keras")
    (folder / "stage.json").write_text('{"digest": "0"}')
    settings = FAST | {"ratio": 0.9, "epochs": 1}
    run_stage(
        "mask", dataset=digits_dir, base=folder, config=settings, output=tmp_path / "m", seed=1
    )
    sizes = [
        run_stage(
            "quantize",
            dataset=digits_dir,
            base=tmp_path / "m",
            config={"method": "float32", "sparse": sparse},
            output=tmp_path / f"q{sparse}",
            seed=1,
        )["bytes"]
        for sparse in (False, True)
    ]

    assert sum(one.zeros for one in sparsity(load_model(tmp_path / "m"))) > 0
    assert sizes[1] < 0.8 * sizes[0]
