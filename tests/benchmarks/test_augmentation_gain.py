import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from benchmarks import augmentation_gain as gain
from benchmarks import augmentation_training as training
from benchmarks.augmentation_data import Sample, build, plan_of_sample
from benchmarks.result import figures_of
from pipelines.augment.text.engines import apertium
from pipelines.augment.text.wordnet import wordnet
from pipelines.dataset.slices import read_slice, split_of
from schemas.errors import InputError
from schemas.fitting import ImageModel
from schemas.stages import TrainConfig


def sample(**changes):
    values = {
        "recipe": "digits",
        "train": 60,
        "evaluation": 20,
        "policy": {"preset": "classic"},
        "copies": 2,
        "seed": 1,
    }
    return Sample(**(values | changes))


def cell(dataset, of=None, **changes):
    config = TrainConfig(model=ImageModel(width=4), epochs=3, batch_size=20)
    values = {
        "name": "a cell",
        "dataset": dataset,
        "sample": of or sample(),
        "copies": 2,
        "originals": False,
        "online": False,
        "config": config,
        "seed": 1,
    }
    return training.Cell(**(values | changes))


def drawn(plan):
    """Return the keys of a plan's records by split, and the labels of the training split."""
    keys: dict[str, list[str]] = {}
    labels: list[int] = []
    for task in plan.tasks:
        for split, examples in read_slice(plan.job, task).splits.items():
            keys.setdefault(split, []).extend(examples.keys)
            labels += examples.labels.tolist() if split == "train" else []
    return keys, labels


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return build(plan_of_sample(sample(), tmp_path_factory.mktemp("gain")))


def test_a_sample_has_as_many_of_each_class_and_keeps_splits_apart(tmp_path):
    plan = plan_of_sample(sample(), tmp_path)
    keys, labels = drawn(plan)
    assert Counter(labels) == dict.fromkeys(range(10), 6)
    assert len(keys["eval"]) == 20
    for split, some in keys.items():
        assert {split_of(key, "train", plan.job.splits) for key in some} == {split}
    whole = plan.job.source.source
    held_out = [
        record.key
        for record in whole.read("train", 0, whole.sizes["train"])
        if split_of(record.key, "train", plan.job.splits) == "test"
    ]
    assert keys["test"] == held_out


def test_a_sample_depends_on_seed_and_key_alone(tmp_path):
    first = drawn(plan_of_sample(sample(), tmp_path))[0]["train"]
    plain = plan_of_sample(sample(policy={"preset": "none"}, copies=0), tmp_path)
    assert drawn(plain)[0]["train"] == first
    other = drawn(plan_of_sample(sample(seed=2), tmp_path))[0]["train"]
    assert 0 < len(set(first) - set(other))
    larger = drawn(plan_of_sample(sample(train=120), tmp_path))[0]["train"]
    assert set(first) < set(larger)


def test_datasets_of_different_samples_never_share_a_folder(tmp_path):
    outputs = {
        plan_of_sample(one, tmp_path).job.output
        for one in (sample(), sample(seed=2), sample(train=50), sample(copies=1))
    }
    assert len(outputs) == 4


def test_too_small_a_class_is_an_error(tmp_path):
    with pytest.raises(InputError, match="class 0 has"):
        plan_of_sample(sample(train=5000), tmp_path)


def test_epochs_cycle_through_the_copies_and_end_on_the_originals():
    config = TrainConfig(model=ImageModel(), epochs=20)
    assert cell("", copies=4, config=config).schedule() == [1, 2, 3, 4] * 4 + [1, 2, 0, 0]
    turns = cell("", copies=2, originals=True, config=config).schedule()
    assert turns == [1, 2, 0] * 6 + [0, 0]
    assert cell("", copies=0, config=config).schedule() == [0] * 20
    online = cell("", copies=0, online=True, config=config)
    assert online.schedule() == [*range(1, 19), 0, 0]


def test_online_epochs_are_the_stored_copies(dataset):
    from components.data import open_dataset
    from components.models import build_model

    data = open_dataset(dataset)
    model = build_model(ImageModel(width=4), data)
    stored = list(training.epochs(cell(dataset), data, model))
    online = list(training.epochs(cell(dataset, online=True), data, model))
    for (images, labels), (drawn_images, drawn_labels) in zip(stored, online, strict=True):
        assert np.array_equal(images, drawn_images)
        assert np.array_equal(labels, drawn_labels)


@pytest.mark.full
def test_cells_are_trained_once_and_told_apart(dataset, tmp_path, monkeypatch):
    cells = [cell(dataset), cell(dataset, copies=1), cell(dataset)]
    scores = training.train_cells(cells, tmp_path, processes=1)
    assert scores[0] == scores[2]
    assert len(list(tmp_path.iterdir())) == 2
    for score in scores:
        assert 0 <= score.test <= 1
        assert 0 <= score.eval <= 1
    monkeypatch.setattr(training, "_train_and_keep", None)
    assert training.train_cells(cells, tmp_path, processes=1) == scores


def test_a_kept_cell_is_not_trained_again(dataset, tmp_path, monkeypatch):
    score = training.Score(test=0.5, eval=0.25, loss=1.0, seconds=2.0)
    content = {"cell": "a cell", "score": dataclasses.asdict(score)}
    (tmp_path / f"{cell(dataset).key()}.json").write_text(json.dumps(content))
    monkeypatch.setattr(training, "_train_and_keep", None)
    assert training.train_cells([cell(dataset)], tmp_path, processes=1) == [score]


def test_a_key_names_all_that_decides_a_cell(dataset, tmp_path):
    config = TrainConfig(model=ImageModel(width=4), epochs=4, batch_size=20)
    other = build(plan_of_sample(sample(seed=2), tmp_path))
    cells = [
        cell(dataset),
        cell(other),
        cell(dataset, copies=1),
        cell(dataset, online=True),
        cell(dataset, config=config),
        cell(dataset, seed=2),
    ]
    assert len({one.key() for one in cells}) == len(cells)
    assert cell(dataset, name="another name").key() == cell(dataset).key()


def test_every_table_has_a_base_and_every_figure_a_table():
    for tables in (gain._tables(), gain._quick_tables()):
        for one in tables:
            assert one.rows[0].name == gain.NONE
            assert len({row.name for row in one.rows}) == len(one.rows)
        figures = [one.figure for one in tables]
        assert [key for key in gain.FIGURES if not key.endswith(gain.GAIN)] == figures
    assert len(gain.SEEDS) >= 3


def test_differences_are_paired_and_their_error_is_the_means():
    base, values = [50.0, 60.0, 55.0], [51.0, 61.0, 56.0]
    assert gain.differences(values, base) == [1.0, 1.0, 1.0]
    assert gain.mean_and_error(gain.differences(values, base)) == (1.0, 0.0)
    mean, error = gain.mean_and_error([1.0, 2.0, 3.0, 4.0])
    assert (mean, round(error, 6)) == (2.5, 0.645497)
    assert gain.mean_and_error([3.0]) == (3.0, 0.0)


def test_the_table_shows_means_and_gains():
    accuracy = {"none": [50.0, 52.0], "classic": [51.0, 54.0]}
    runs = dict.fromkeys(gain.FIGURES, {"none": [1.0]}) | {
        "imdb_500": accuracy,
        "imdb_500_gain": {"classic": [1.0, 2.0]},
    }
    lines = gain.table_lines(figures_of(gain.FIGURES, runs))
    assert "| IMDB, 500 reviews: none | 51.0 % | 1.4 |  | 2 |" in lines
    assert "| IMDB, 500 reviews: classic | 52.5 % | 2.1 | +1.50 ± 0.50 | 2 |" in lines


def test_a_missing_engine_is_refused_before_anything_is_built(monkeypatch, tmp_path):
    try:
        wordnet()
    except InputError as error:
        pytest.skip(str(error))  # it would be the first that is missing
    monkeypatch.setattr("pipelines.augment.text.engines.PRIVATE", tmp_path / "none" / "usr")
    monkeypatch.setenv("PATH", str(tmp_path))
    apertium.cache_clear()
    with pytest.raises(InputError, match="make setup-translation"):
        gain.measure(quick=True)
    apertium.cache_clear()


def _has_apertium() -> bool:
    try:
        apertium("eng-spa", "spa-eng")
    except InputError:
        return False
    return True


@pytest.mark.full
@pytest.mark.skipif(not _has_apertium(), reason="needs Apertium: make setup-translation")
def test_quick_run_measures_every_figure():
    measured = gain.measure(quick=True)
    assert set(measured.runs) == set(gain.FIGURES)
    assert all(len(runs) == 1 for parts in measured.runs.values() for runs in parts.values())
