"""Samples of some classes, and the tables of the transfer benchmark."""

import numpy as np
import tensorflow as tf

from benchmarks import transfer
from benchmarks.augmentation_data import Sample, build, plan_of_sample
from benchmarks.result import figures_of
from components.data import open_dataset, records

LABEL = {
    "key": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def rows(data, split):
    found = {}
    for one in records(data, split, 0):
        fields = tf.io.parse_single_example(one, LABEL)
        found[fields["key"].numpy()] = int(fields["label"])
    return found


def test_a_sample_holds_its_classes_alone(tmp_path):
    def sample(classes):
        one = Sample(
            recipe="digits",
            train=20,
            evaluation=10,
            policy={"preset": "classic"},
            copies=1,
            seed=1,
            classes=classes,
        )
        return open_dataset(build(plan_of_sample(one, tmp_path)))

    low, high = sample((0, 1, 2, 3, 4)), sample((5, 6, 7, 8, 9))
    assert high.schema.label_names == tuple("56789")
    assert low.digest != high.digest
    for split in ("train", "eval", "test"):
        ours, theirs = rows(low, split), rows(high, split)
        assert not ours.keys() & theirs.keys()
        assert set(ours.values()) == set(theirs.values()) == set(range(5))
    assert np.bincount(list(rows(high, "train").values())).tolist() == [4] * 5


def test_tables_have_a_row_per_size_and_a_column_per_way():
    methods = [transfer.SCRATCH, *transfer.METHODS]
    figures = figures_of(
        transfer.FIGURES,
        {
            "transfer_accuracy": {f"digits, 5 of each class: {one}": [50, 60] for one in methods},
            "transfer_gain": {f"digits, 5 of each class: {one}": [1, 3] for one in methods[1:]},
            "few_shot_accuracy": {
                f"digits, 5 of each class: {one}": [70, 71, 72] for one in transfer.FEW_SHOT
            },
        },
    )
    lines = transfer.table_lines(figures)
    assert "| digits, 5 of each class | 55.0 ± 7.1 | 55.0 ± 7.1 (+2.0 ± 1.0)" in lines[2]
    assert lines[3] == ""
    assert lines[6].count("71.0 ± 1.0") == len(transfer.FEW_SHOT)
