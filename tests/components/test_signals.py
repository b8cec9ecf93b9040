"""Stored teacher signals: the same training as with the teacher, and no other one's."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.attention import attention_map, feature_maps, last_of_each_size
from components.data import batches, fixed_order, open_dataset, records
from components.distill import distillation_loss, fit_with_teacher
from components.models import build_model
from components.signal_store import finished_shard, shards_to_score, store_signals
from components.signals import LiveTeacher, Scorer, as_maps, open_signals
from components.stages import be_deterministic, load_report, run_stage
from components.train import Context, fit
from schemas.errors import InputError
from schemas.stages import parse_config
from schemas.teaching import SIGNALS, SignalsConfig, load_signals_manifest

SETTINGS = {
    "model": {"family": "image_resnet", "width": 4},
    "epochs": 2,
    "batch_size": 50,
    "examples": 100,
    "attention": 10.0,
}
TEACHER = "a" * 64


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


@pytest.fixture(scope="module")
def teacher(data):
    keras.utils.set_random_seed(7)
    return build_model(
        parse_config("train", {"model": {"family": "image_resnet", "width": 8}}).model, data
    )


@pytest.fixture(scope="module")
def stored(data, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    store_signals(teacher, data, folder, SignalsConfig(maps="float16"), teacher=TEACHER)
    return folder


def trained(data, *, teacher=None, signals=None, **changes):
    """Return the student's weights, one long vector."""
    be_deterministic(5)
    config = parse_config("distill", {**SETTINGS, **changes})
    model = build_model(config.model, data)
    context = Context(
        data=data,
        base=None,
        teacher=teacher,
        seed=5,
        progress=lambda line: None,
        notes={},
        signals=signals,
    )
    fit_with_teacher(model, context, config)
    return np.concatenate([one.ravel() for one in model.get_weights()])


def test_fixed_order_is_that_of_the_records(data):
    for copy in (0, 1):
        ends = [
            record
            for one in data.of("train", copy)
            for record in tf.data.TFRecordDataset(str(data.root / one.path)).as_numpy_iterator()
        ]
        found = [ends[position] for position in fixed_order(data, "train", copy)]
        assert found == list(records(data, "train", copy).as_numpy_iterator())


def test_signals_are_what_the_teacher_says(data, teacher, stored):
    signals = open_signals(stored, data, teacher=TEACHER)
    layers = list(signals.sizes)
    assert signals.sizes == last_of_each_size(feature_maps(teacher))
    logits, *maps = signals.answers(1, 130, layers)

    watching = keras.Model(teacher.inputs, [teacher.get_layer(one).output for one in layers])
    images = next(iter(batches(data, "train", teacher, copy=1, batch_size=130)))[0]
    assert logits == pytest.approx(teacher(images, training=False).numpy(), abs=1e-4)
    for found, features, info in zip(
        maps, watching(images, training=False), signals.manifest.maps, strict=True
    ):
        exact = attention_map(features).numpy()
        assert np.abs(found - exact).max() <= info.error + 1e-5
        assert info.error < 5e-4


@pytest.mark.parametrize("attention", [0.0, 10.0])
def test_students_of_stored_signals_and_of_the_teacher_are_equal(data, teacher, stored, attention):
    apart = trained(data, signals=open_signals(stored, data), attention=attention)
    beside = trained(data, teacher=teacher, attention=attention)
    assert np.array_equal(apart, beside)


def test_students_equal_those_of_a_teacher_asked_in_every_step(data, teacher, stored):
    config = parse_config("distill", {**SETTINGS, "attention": 0.0})
    be_deterministic(5)
    student = build_model(config.model, data)
    loss = distillation_loss(config.temperature, config.alpha, config.label_smoothing)

    def asking(outputs, labels):
        logits, answers = outputs
        return loss(logits, labels, tf.stop_gradient(answers))

    def both(inputs, training):
        return student(inputs, training=training), teacher(inputs, training=False)

    context = Context(
        data=data, base=None, teacher=None, seed=5, progress=lambda line: None, notes={}
    )
    fit(student, context, config, asking, network=both)
    online = np.concatenate([one.ravel() for one in student.get_weights()])
    offline = trained(data, signals=open_signals(stored, data), attention=0.0)
    assert offline == pytest.approx(online, abs=2e-3)
    assert not np.array_equal(offline, trained(data, attention=0.0))


def test_small_maps_are_near(data, teacher, stored, tmp_path):
    manifest = store_signals(teacher, data, tmp_path, SignalsConfig(maps="uint8"), teacher=TEACHER)
    errors = [one.error for one in manifest.maps]
    assert 0 < max(errors) < 0.01
    layers = [one.layer for one in manifest.maps]
    exact = open_signals(stored, data).answers(0, None, layers)[1:]
    for small, wide, error in zip(
        open_signals(tmp_path, data).answers(0, None, layers)[1:], exact, errors, strict=True
    ):
        assert small.dtype == np.uint8
        assert np.abs(as_maps(tf.constant(small)) - wide).max() <= error + 5e-4
    assert manifest.shards[0].bytes < load_signals_manifest(stored).shards[0].bytes


def test_a_shard_depends_on_nothing_but_itself(data, teacher):
    scorer = Scorer(teacher, [])
    shard = data.of("train", 0)[0]
    whole = scorer.score(data, shard).logits
    assert np.array_equal(scorer.score(data, shard, 5).logits, whole)
    live = LiveTeacher(teacher, data)
    few, many = live.answers(0, 7, [])[0], live.answers(0, None, [])[0]
    assert np.array_equal(few, many[:7])


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(data, teacher, stored, tmp_path):
    before = {
        one.path: (stored / one.path).read_bytes() for one in load_signals_manifest(stored).shards
    }
    first = shards_to_score(data, None)[0]
    done = next(one for one in load_signals_manifest(stored).shards if one.source == first.path)
    (tmp_path / done.path).parent.mkdir(parents=True)
    (tmp_path / done.path).write_bytes(before[done.path])
    damaged = next(path for path in before if path != done.path)
    (tmp_path / damaged).write_bytes(before[damaged][:-40])
    with pytest.raises(InputError, match="no finished teacher signals"):
        open_signals(tmp_path, data)

    lines = []
    store_signals(
        teacher,
        data,
        tmp_path,
        SignalsConfig(maps="float16"),
        teacher=TEACHER,
        progress=lines.append,
    )
    assert [line.endswith("(was there)") for line in lines] == [True, False, False, False]
    assert {path: (tmp_path / path).read_bytes() for path in before} == before
    assert (tmp_path / SIGNALS).read_bytes() == (stored / SIGNALS).read_bytes()


def test_another_teachers_file_is_written_again(data, stored):
    shard = shards_to_score(data, None)[0]
    assert finished_shard(stored, shard, "another stamp") is None


def test_stale_and_foreign_signals_are_refused(data, stored, tmp_path):
    with pytest.raises(InputError, match=r"of the teacher aaaaaaaaaaaa, not of b.*stale"):
        open_signals(stored, data, teacher="b" * 64)
    other = dataclasses.replace(data, digest="e" * 64)
    with pytest.raises(InputError, match=r"of the dataset dddddddddddd, not of e.*stale"):
        open_signals(stored, other)
    with pytest.raises(InputError, match="no signals.json"):
        open_signals(tmp_path, data)
    (tmp_path / SIGNALS).write_text("{")
    with pytest.raises(InputError, match="not a list of teacher signals"):
        open_signals(tmp_path, data)
    value = json.loads((stored / SIGNALS).read_text())
    (tmp_path / SIGNALS).write_text(json.dumps({**value, "format_version": 9}))
    with pytest.raises(InputError, match="format version 9"):
        open_signals(tmp_path, data)
    (tmp_path / SIGNALS).write_text(json.dumps({**value, "precision": "int4"}))
    with pytest.raises(InputError, match=r"Store the signals again"):
        open_signals(tmp_path, data)


def test_missing_copies_layers_and_files_are_refused(data, teacher, tmp_path):
    store_signals(teacher, data, tmp_path, SignalsConfig(copies=1), teacher=TEACHER)
    signals = open_signals(tmp_path, data)
    with pytest.raises(InputError, match=r"no signals for copy 1; copies there: \[0\]"):
        signals.answers(1, None, [])
    with pytest.raises(InputError, match="feature maps of one size in teacher and student"):
        trained(data, signals=signals)
    path = tmp_path / signals.manifest.shards[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"not what signals.json says"):
        signals.answers(0, None, [])
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        signals.answers(0, None, [])


def test_layers_are_named_with_maps_only(data, teacher, tmp_path):
    for settings, match in (
        ({"layers": ["stem_relu"]}, "of use with maps only"),
        ({"layers": ["stem"], "maps": "uint8"}, "unknown feature map of the teacher 'stem'"),
    ):
        with pytest.raises(InputError, match=match):
            store_signals(teacher, data, tmp_path, SignalsConfig(**settings), teacher=TEACHER)
    assert list(tmp_path.iterdir()) == []


def test_stages_learn_from_stored_answers(digits_dir, tmp_path):
    short = {"epochs": 2, "batch_size": 50, "examples": 100}
    small = {"model": {"family": "image_resnet", "width": 4}, **short}
    made = {
        "teacher": ("train", {}, {**small, "model": {"family": "image_resnet", "width": 8}}),
        "answers": ("signals", {"teacher": "teacher"}, {"maps": "uint8"}),
        "student": ("distill", {"teacher": "answers"}, {**small, "attention": 10.0}),
        "longer": ("finetune", {"base": "student", "teacher": "answers"}, short),
    }
    reports = {}
    for name, (kind, links, config) in made.items():
        reports[name] = run_stage(
            kind,
            dataset=digits_dir,
            config=config,
            output=tmp_path / name,
            seed=1,
            name=name,
            **{role: tmp_path / other for role, other in links.items()},
        )
    answers, manifest = reports["answers"], load_signals_manifest(tmp_path / "answers")
    assert answers == load_report(tmp_path / "answers")
    assert manifest.teacher == answers["teacher"] == reports["teacher"]["digest"]
    assert answers["accuracy"] == reports["teacher"]["accuracy"]
    assert answers["parameters"] == reports["teacher"]["parameters"]
    assert answers["digest"] == manifest.digest == reports["student"]["teacher"]
    assert answers["bytes"] > sum(one.bytes for one in manifest.shards)
    assert list(answers["notes"]["maps"]) == [
        theirs for theirs, _ in reports["student"]["notes"]["attention_layers"]
    ]
    with pytest.raises(InputError, match="name the network itself"):
        run_stage(
            "signals",
            dataset=digits_dir,
            teacher=tmp_path / "answers",
            config={},
            output=tmp_path / "again",
            seed=1,
        )
    assert not (tmp_path / "again").exists()
