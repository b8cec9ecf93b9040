"""The n-gram teacher: naive-Bayes ratios by hand, and no document scored by what it taught."""

import numpy as np
import pytest
from scipy import sparse

from components.data import open_dataset
from components.ngrams import NgramModel, _log_count_ratio, fold_of, out_of_fold
from components.signals import open_signals
from components.stages import load_report, run_stage
from components.text_teacher import read_texts
from schemas.errors import InputError
from schemas.teaching import NgramConfig

SMALL = NgramConfig(minimum=1, folds=3)


def test_log_count_ratios_by_hand():
    present = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32))
    # Smoothed by 1: the class has counts 3, 2, 1 of 6 and the others 1, 2, 2 of 5.
    ratio = _log_count_ratio(present, np.array([True, True, False]), 1.0)
    expected = np.log([3 / 6, 2 / 6, 1 / 6]) - np.log([1 / 5, 2 / 5, 2 / 5])
    assert ratio == pytest.approx(expected)


def test_presence_and_order_count_but_not_how_often():
    texts = ["not good", "good not", "good", "bad"] * 4
    model = NgramModel(texts, np.array([0, 1, 1, 0] * 4), 2, SMALL)
    logits = model.logits(["not good", "good not", "good good good", "good", "<br />GOOD!"])
    assert logits[:2].argmax(axis=1).tolist() == [0, 1]
    assert logits[:, 1] == pytest.approx(-logits[:, 0])
    once = NgramModel(texts, np.array([0, 1, 1, 0] * 4), 2, NgramConfig(minimum=1, ngrams=1))
    assert len(set(once.logits(["not good", "good not"])[:, 1].tolist())) == 1
    assert logits[3].tolist() == logits[4].tolist()
    assert once.parameters == 4
    assert model.parameters == 4 + 2


def test_three_classes():
    words = ["red", "green", "blue"]
    texts = [f"{words[i % 3]} thing" for i in range(30)]
    model = NgramModel(texts, np.arange(30) % 3, 3, SMALL)
    assert model.logits(words).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_document_and_its_copies_are_scored_by_a_model_that_saw_none_of_them():
    generator = np.random.default_rng(3)
    keys = [f"k{i}".encode() for i in range(60)]
    labels = generator.integers(0, 2, 60)
    # A word of its own tells each label: whoever saw any copy of a document knows the answer.
    texts = [f"own{i} x{i % 7} y{i % 5}" for i in range(60)]
    logits, models = out_of_fold(texts * 2, np.tile(labels, 2), keys * 2, 2, SMALL)
    assert np.array_equal(logits[:60], logits[60:])
    assert abs((logits[:60].argmax(axis=1) == labels).mean() - 0.5) < 0.25
    inside = models[0].logits(texts)[fold_of(keys, 3) != 0]
    known = labels[fold_of(keys, 3) != 0]
    assert (inside.argmax(axis=1) == known).mean() > 0.9
    again, _ = out_of_fold(texts * 2, np.tile(labels, 2), keys * 2, 2, SMALL)
    assert np.array_equal(again, logits)


def test_too_few_documents_are_refused():
    with pytest.raises(InputError, match="do not fill 3 folds of all 2 classes"):
        out_of_fold(["a", "b"], np.array([0, 1]), [b"1", b"2"], 2, SMALL)
    with pytest.raises(InputError, match="lower minimum"):
        NgramModel(["a", "b"], np.array([0, 1]), 2, NgramConfig(minimum=2))


def test_stage_and_its_student(reviews_dir, digits_dir, tmp_path):
    lines = []
    report = run_stage(
        "ngrams",
        dataset=reviews_dir,
        config={"folds": 3},
        output=tmp_path / "teacher",
        seed=0,
        progress=lines.append,
    )
    assert report == load_report(tmp_path / "teacher")
    assert report["accuracy"] > 0.95
    assert report["notes"]["out_of_fold_accuracy"] > 0.95
    assert lines[0].startswith("ngrams: fold 1/3")
    assert sorted(one.name for one in (tmp_path / "teacher").iterdir()) == [
        "Split-train", "signals.json", "stage.json",
    ]  # fmt: skip
    data = open_dataset(reviews_dir)
    logits = open_signals(tmp_path / "teacher", data).answers(0, None, [])[0]
    texts = read_texts(data, data.of("train", 0))
    assert (logits.argmax(axis=1) == texts.labels).mean() == pytest.approx(
        report["notes"]["out_of_fold_accuracy"]
    )
    student = run_stage(
        "distill",
        dataset=reviews_dir,
        teacher=tmp_path / "teacher",
        config={
            "model": {"family": "text_embedding", "width": 2, "tokens": 20},
            "epochs": 6, "batch_size": 50, "optimizer": "adam", "learning_rate": 0.05,
            "weight_decay": 0.0,
        },
        output=tmp_path / "student",
        seed=1,
    )  # fmt: skip
    assert student["accuracy"] > 0.8
    with pytest.raises(InputError, match="teaches texts, not image"):
        run_stage("ngrams", dataset=digits_dir, config={}, output=tmp_path / "m", seed=0)
