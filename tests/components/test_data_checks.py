"""The data gate: distances, profiles, and exactly one reason for each thing that is wrong."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from components.data_checks import (
    FIRST_RUN,
    DatasetProfile,
    Previous,
    check_dataset,
    profile,
    read_decision,
    write,
)
from components.data_checks.distances import PERMUTATIONS, by_chance, jensen_shannon, l_infinity
from components.data_checks.features import EDGES, histogram, image_features, text_features
from schemas.canonical import sha256
from schemas.data_gates import DataGates
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import FileInfo, load_manifest
from schemas.report import GateDecision
from schemas.validation import validated
from tests.components.conftest import write_dataset

SPLITS = {"train": 1000, "eval": 300, "test": 300}
FINE = {split: (count, []) for split, count in SPLITS.items()}
NAMES = tuple("0123456789")
FEW = "0.1 raised for so few examples"


def counted(root, **changes):
    """Fill in what `write_dataset` leaves out of a manifest: labels per shard, leakage."""
    import tensorflow as tf

    manifest = load_manifest(root)
    kind = "GZIP" if manifest.schema.modality == "text" else ""
    shards = []
    for shard in manifest.shards:
        classes = {}
        for row in tf.data.TFRecordDataset(str(root / shard.path), kind).as_numpy_iterator():
            label = str(
                tf.train.Example.FromString(row).features.feature["label"].int64_list.value[0]
            )
            classes[label] = classes.get(label, 0) + 1
        shards.append(dataclasses.replace(shard, classes=classes))
    manifest = dataclasses.replace(manifest, shards=tuple(shards), **changes)
    (root / "manifest.json").write_text(manifest.to_json())
    return root


def digits(
    root,
    *,
    change=lambda images, labels: images,
    keep=lambda split, labels: labels >= 0,
    names=NAMES,
    **changes,
):
    """Write a dataset of real digits, some of them left out, or with their images changed."""
    scans = load_digits()
    rows, at = {}, 0
    for split, count in SPLITS.items():
        images = scans.images[at : at + count] / 16 * 200 + 40
        labels = scans.target[at : at + count]
        at += count
        images = np.clip(change(images, labels), 0, 255).astype(np.uint8)
        kept = np.flatnonzero(keep(split, labels))
        rows[split, 0, 0] = [
            (f"{split}/{i}".encode(), labels[i], np.repeat(images[i, ..., None], 3, -1).tobytes())
            for i in kept
        ]
    schema = ExampleSchema(
        modality="image", label_names=names, encoding="raw", image_shape=(8, 8, 3)
    )
    return counted(write_dataset(root, schema, rows, survey={}), **changes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def accepted(plain):
    return profile(plain)


def decide(dataset, *, previous=None, anomalies=FINE, **gates):
    """Decide; ``previous`` may be a profile."""
    if isinstance(previous, DatasetProfile):
        previous = Previous(state="present", profile=previous)
    _, decision = check_dataset(
        dataset=dataset,
        anomalies=anomalies,
        gates=validated(DataGates, gates),
        previous=previous or FIRST_RUN,
    )
    assert decision == GateDecision.from_json(json.loads(json.dumps(decision.to_json())))
    assert bool(decision.fixes) != decision.blessed, "a refusal says what to do"
    return decision


def the_reason(decision):
    (reason,) = decision.reasons
    return reason


# Distances


def test_distances_by_hand():
    assert l_infinity([1, 3], [2, 2]) == 0.25
    assert l_infinity([10, 0], [0, 1]) == 1
    # Half of log2(4/3), and half of (log2(2/3) + log2(2)) / 2.
    expected = 0.5 * np.log2(4 / 3) + 0.25 * (np.log2(2 / 3) + 1)
    assert jensen_shannon([4, 0], [3, 3]) == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(0.3112781)
    assert jensen_shannon([5, 0, 0], [0, 2, 2]) == 1


counts = st.lists(st.integers(0, 1000), min_size=2, max_size=20)


@pytest.mark.parametrize("distance", [l_infinity, jensen_shannon])
@settings(deadline=None)
@given(data=st.data())
def test_distances_are_symmetric_bounded_and_0_for_equal_shares(distance, data):
    a = np.array(data.draw(counts.filter(any)))
    b = np.array(
        data.draw(st.lists(st.integers(0, 1000), min_size=len(a), max_size=len(a)).filter(any))
    )
    forth = float(distance(a, b))
    assert forth == pytest.approx(float(distance(b, a)), abs=1e-12)
    assert 0 <= forth <= 1
    assert distance(a, 3 * a) == pytest.approx(0, abs=1e-9)
    if (np.outer(a, b) != np.outer(a, b).T).any():
        assert forth > 0


@pytest.mark.parametrize("distance", [l_infinity, jensen_shannon])
@pytest.mark.parametrize(("sizes", "bins"), [((360, 360), 10), ((58, 21), 2), ((80, 40), 16)])
def test_equal_data_seldom_exceeds_what_chance_allows(distance, sizes, bins):
    generator = np.random.default_rng(7)
    alarms, above = 0, 0
    for _ in range(200):
        shares = generator.dirichlet(np.full(bins, 2.0))
        a, b = (generator.multinomial(size, shares) for size in sizes)
        alarms += distance(a, b) > by_chance(a, b, distance)
        above += distance(a, b) > 0.1
    assert alarms <= 2, "expected are 200 * 0.001"
    if sizes == (80, 40) and distance is jensen_shannon:
        assert above > 20, "a bare limit of 0.1 would refuse equal data"


@pytest.mark.full
@pytest.mark.parametrize("distance", [l_infinity, jensen_shannon])
def test_false_alarms_keep_to_their_rate(distance):
    generator = np.random.default_rng(8)
    shares = np.arange(1, 11) / 55
    pairs = [[generator.multinomial(n, shares) for n in (100, 60)] for _ in range(10_000)]
    alarms = sum(distance(a, b) > by_chance(a, b, distance) for a, b in pairs)
    assert PERMUTATIONS == 1_999, "the second largest: a rate of 2 in 2,000"
    assert alarms <= 20, "10 are expected; more than 20 have probability 0.0016"


def test_what_chance_allows_is_exact_deterministic_and_shrinks():
    few = by_chance(np.array([30, 30]), np.array([30, 30]), l_infinity)
    many = by_chance(np.array([3000, 3000]), np.array([3000, 3000]), l_infinity)
    assert few == by_chance(np.array([30, 30]), np.array([30, 30]), l_infinity)
    assert 0.2 < few < 0.35  # hypergeometric: standard deviation 0.046 of either share
    assert many == pytest.approx(few / 10, rel=0.35)
    assert by_chance(np.array([9, 0]), np.array([4, 0]), jensen_shannon) == 0


# Features


def test_features_of_images_by_hand():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[1] = 255
    images[2, 0] = 200  # one row of two
    images[3] = (200, 50, 100)
    found = image_features(images)
    luma = 0.299 * 200 + 0.587 * 50 + 0.114 * 100
    assert found["brightness"] == pytest.approx([0, 255, 100, luma])
    assert found["contrast"] == pytest.approx([0, 0, 100, 0])
    assert found["saturation"] == pytest.approx([0, 0, 0, 0.75])


def test_grey_images_and_an_alpha_channel_are_read():
    grey = np.full((1, 2, 2, 1), 90, np.uint8)
    alpha = np.full((1, 2, 2, 4), 90, np.uint8)
    alpha[..., 3] = 0
    assert image_features(grey)["brightness"] == 90
    assert {name: one[0] for name, one in image_features(grey).items()} == {
        name: one[0] for name, one in image_features(alpha).items()
    }


def test_features_of_texts_by_hand():
    texts = ["A fine FILM<br />indeed", "", "42 ...", "café"]
    found = text_features(texts, {"<OOV>", "a", "film", "42"})
    assert found["length"].tolist() == [4, 0, 1, 1]
    assert found["unknown_words"].tolist() == [0.5, 0, 0, 1]
    assert found["upper_case"].tolist() == [5 / 17, 0, 0, 0]
    assert text_features([], ())["length"].shape == (0,)


def test_bins_hold_their_lower_edge_and_the_outer_ones_are_open():
    assert histogram(np.array([0.0, 1.0, 1.5, 2.0, 9.0, 99.0]), (0, 1, 2, 4)).tolist() == [1, 2, 3]
    for edges in (one for kind in EDGES.values() for one in kind.values()):
        assert list(edges) == sorted(set(edges))


# Profiles


def test_a_profile_counts_originals_by_name_and_survives_json(accepted, plain):
    train = accepted.splits["train"]
    labels = load_digits().target[:1000]
    assert train.classes == {str(k): int((labels == k).sum()) for k in range(10)}
    assert (train.examples, train.profiled) == (1000, 1000)
    assert all(sum(counts) == 1000 for counts in train.features.values())
    assert train.features["saturation"][0] == 1000
    assert DatasetProfile.from_json(json.loads(json.dumps(accepted.to_json()))) == accepted
    assert profile(plain) == accepted


def test_a_profile_is_of_pixels_not_of_their_encoding(digits_dir, raw_digits_dir, tmp_path):
    import shutil

    found = []
    for at, folder in enumerate((digits_dir, raw_digits_dir)):
        copy = shutil.copytree(folder, tmp_path / str(at))
        found.append(profile(counted(copy)).splits)
    assert found[0] == found[1]


def test_a_large_split_is_profiled_by_its_first_examples(plain, accepted, monkeypatch):
    monkeypatch.setattr("components.data_checks.profiles.MOST_EXAMPLES", 400)
    found = profile(plain).splits["train"]
    assert (found.examples, found.profiled) == (1000, 400)
    assert found.classes == accepted.splits["train"].classes
    assert sum(found.features["brightness"]) == 400


def test_a_manifest_without_labels_is_an_error(raw_digits_dir):
    with pytest.raises(InputError, match="counts 600 train examples and 0 labels; materialize"):
        profile(raw_digits_dir)


def test_files_hold_profile_and_decision(plain, tmp_path):
    found = check_dataset(dataset=plain, anomalies=FINE, gates=DataGates(), previous=FIRST_RUN)
    write(tmp_path / "new", *found)
    kept = json.loads((tmp_path / "new" / "profile.json").read_text())
    assert (DatasetProfile.from_json(kept), read_decision(tmp_path / "new")) == found
    assert {one.name for one in (tmp_path / "new").iterdir()} == {"profile.json", "decision.json"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda value: value.update(format_version=0),
            "format 0; this program compares with format 1",
        ),
        (lambda value: value["edges"].update(contrast=[0, 1]), "other bins"),
        (lambda value: value.pop("splits"), "no profile of a dataset"),
        (lambda value: value.update(modality="sound"), "no profile of a dataset"),
        (lambda value: value["splits"]["train"].update(examples=-1), "-1 is no count"),
        (lambda value: value["splits"]["train"].update(examples=9), "does not fit"),
        (lambda value: value["splits"]["eval"]["features"]["contrast"].pop(), "contrast do not"),
    ],
)
def test_a_wrong_profile_is_named(accepted, change, text):
    value = json.loads(json.dumps(accepted.to_json()))
    change(value)
    with pytest.raises(InputError, match=text):
        DatasetProfile.from_json(value)


def test_a_decision_that_is_missing_or_no_json_is_named(tmp_path):
    with pytest.raises(InputError, match="decision.json: cannot be read"):
        read_decision(tmp_path)
    (tmp_path / "decision.json").write_text("{")
    with pytest.raises(InputError, match="decision.json: cannot be read"):
        read_decision(tmp_path)
    (tmp_path / "decision.json").write_text("[]")
    with pytest.raises(InputError, match="decision.json: no decision"):
        read_decision(tmp_path)


# Decisions: each has exactly its reason


def test_a_first_run_passes_and_says_that_drift_was_not_compared(plain):
    decision = decide(plain)
    assert decision.blessed
    assert decision.why == ""
    assert decision.notes == ("drift was not compared: no dataset was accepted before",)
    assert not [one for one in decision.checks if one.measure.startswith("drift")]


def test_a_first_run_is_refused_where_asked(plain, accepted):
    decision = decide(plain, on_first_run="refuse")
    assert decision.why == (
        "drift could not be compared: no dataset was accepted before. What to do: "
        "refresh.data.on_first_run: pass accepts this dataset as the one that later ones are "
        "compared with"
    )
    assert decide(plain, on_first_run="refuse", previous=accepted).blessed


MISSING = Previous(state="missing", why="the profile of version 3's dataset cannot be used: EOF")


def test_a_profile_that_should_be_there_is_no_first_run(plain):
    decision = decide(plain, previous=MISSING)
    assert decision.why == (
        "drift could not be compared with the last accepted dataset: the profile of version 3's "
        "dataset cannot be used: EOF. What to do: roll back to a version that keeps the profile of "
        "its dataset, or look at this dataset and let it pass with refresh.data.on_missing: pass "
        "for one refresh, whose push keeps a profile again"
    )
    assert not decide(plain, previous=MISSING, on_first_run="pass").blessed
    passed = decide(plain, previous=MISSING, on_missing="pass", on_first_run="refuse")
    assert passed.blessed
    assert passed.notes == (
        "drift was not compared with the last accepted dataset: the profile of version 3's dataset "
        "cannot be used: EOF",
    )


def test_where_no_drift_is_limited_no_profile_is_missed(plain):
    decision = decide(plain, previous=MISSING, drift={"label": None, "features": None})
    assert decision.blessed
    assert "drift was not compared with" in decision.notes[0]
    assert not decide(plain, previous=MISSING, drift={"label": None}).blessed


def test_equal_data_has_no_drift(plain, accepted):
    decision = decide(plain, previous=accepted)
    assert decision.blessed
    drift = [one for one in decision.checks if one.measure.startswith("drift")]
    assert [one.value for one in drift] == [0, 0, 0, 0]
    assert [one.measure.split()[2] for one in drift] == ["labels", *EDGES["image"]]


def test_darkened_images_are_drift_of_brightness(tmp_path, accepted):
    darker = digits(tmp_path, change=lambda images, labels: images - 25)
    decision = decide(darker, previous=accepted)
    reason = the_reason(decision)
    assert reason.startswith("drift of brightness in train (JSD) 0.")
    assert reason.endswith("(n=1,000) is above the most allowed 0.1000")
    assert decision.why == (
        f"{reason}. What to do: look for what changed, and if it is meant, raise "
        "refresh.data.drift.features for one refresh"
    )
    assert decision.notes == ()
    assert decide(darker, previous=accepted, drift={"features": None}).blessed
    assert decide(darker, previous=accepted, drift={"features": {"contrast": 0.1}}).blessed


def test_shifted_labels_are_drift_of_labels(tmp_path, accepted):
    def more_eights(split, labels):
        # Every second one of the others is left out: the share of eights nearly doubles.
        return (labels == 8) | (labels == 9) | (np.arange(len(labels)) % 3 == 0)

    decision = decide(
        digits(tmp_path, keep=more_eights), previous=accepted, drift={"features": None}
    )
    reason = the_reason(decision)
    assert reason.startswith("drift of labels in train (L-infinity) 0.1")
    assert "above the most allowed 0.1000" in reason
    assert "raise refresh.data.drift.label" in decision.why


def test_a_limit_is_raised_where_chance_alone_reaches_it(tmp_path):
    few = [
        digits(
            tmp_path / str(part), keep=lambda split, labels, part=part: _few(split, labels, part)
        )
        for part in (0, 1)
    ]
    decision = decide(few[1], previous=profile(few[0]), min_per_class=0, drift={"label": 0.1})
    check = next(one for one in decision.checks if one.measure.startswith("drift of labels"))
    assert check.measure == f"drift of labels in train (L-infinity, limit {FEW})"
    assert check.limit > 0.1
    assert decision.blessed, decision.reasons


def _few(split, labels, part):
    return np.arange(len(labels)) % 12 == 5 * part if split == "train" else labels >= 0


def test_a_split_of_other_images_is_skew(tmp_path):
    def inverted_test(images, labels):
        return 280 - images if len(images) == SPLITS["eval"] else images

    decision = decide(
        digits(tmp_path, change=inverted_test), skew={"features": {"brightness": 0.3}}
    )
    assert [one.split(" (")[0] for one in decision.reasons] == [
        "skew of brightness between train and eval",
        "skew of brightness between train and test",
    ]
    assert decision.why.count("prepare them alike, or raise refresh.data.skew.features") == 1


def test_other_label_shares_in_a_split_are_skew(tmp_path):
    lopsided = digits(
        tmp_path,
        keep=lambda split, labels: (labels < 3) | (split != "test") | (np.arange(len(labels)) < 20),
    )
    decision = decide(lopsided, skew={"label": 0.15, "features": None})
    assert the_reason(decision).startswith("skew of labels between train and test (L-infinity")
    assert "raise refresh.data.skew.label" in decision.why


def test_a_missing_class_is_named(tmp_path, accepted):
    without = digits(tmp_path, keep=lambda split, labels: (split != "eval") | (labels != 3))
    decision = decide(without)
    assert the_reason(decision) == "no example of class '3' in eval"
    assert "with refresh.data.min_per_class: 0" in decision.why
    assert the_reason(decide(without, previous=accepted)) == (
        "no example of class '3' in eval (28 in the last accepted dataset)"
    )
    assert decide(without, previous=accepted, min_per_class=0).blessed


def test_a_class_that_vanished_is_named_even_if_it_may_be_missing(tmp_path, accepted):
    without = digits(tmp_path, keep=lambda split, labels: labels != 3)
    decision = decide(without, previous=accepted, min_per_class=0, drift={"label": 0.5})
    assert the_reason(decision).startswith("none left of class '3' in train (104 in the last")
    assert "refresh.data.drift.label: null" in decision.why
    assert decide(without, previous=accepted, min_per_class=0, drift={"label": None}).blessed


def test_too_few_examples_of_a_class(tmp_path):
    rare = digits(
        tmp_path,
        keep=lambda split, labels: (labels != 3) & (labels != 4) | (np.arange(len(labels)) < 50),
    )
    gates = {"skew": {"label": 0.5, "features": 0.9}, "min_per_class": 20}
    reasons = decide(rare, **gates).reasons
    assert reasons[0] == (
        "examples of class '3', the rarest of 2 that have too few, in train 4 is below the least "
        "allowed 20"
    )
    assert len(reasons) == 3


def test_too_few_examples(plain):
    decision = decide(plain, min_examples={"train": 1001, "eval": 300})
    assert the_reason(decision) == "examples in train 1,000 is below the least allowed 1,001"
    assert decision.why.endswith("What to do: add examples, or lower refresh.data.min_examples")


def test_an_empty_split_has_one_reason(tmp_path):
    empty = digits(tmp_path, keep=lambda split, labels: np.full(len(labels), split != "test"))
    found = {**FINE, "test": (0, [])}
    assert the_reason(decide(empty, anomalies=found)) == (
        "examples in test 0 is below the least allowed 1"
    )


def test_an_anomaly_is_named(plain):
    found = {**FINE, "train": (1000, ["label: Out-of-range (Unexpectedly large values: 12.)"])}
    decision = decide(plain, anomalies=found)
    assert decision.reasons == (
        "anomalies in train 1 (n=1,000) is above the most allowed 0",
        "train: label: Out-of-range (Unexpectedly large values: 12.)",
    )
    assert decision.fixes == (
        "correct the examples that do not fit, or edit the dataset's schema, and materialize again",
    )


@pytest.mark.parametrize("found", [{}, {"eval": (0, [])}])
def test_a_split_that_was_not_examined_is_a_reason(plain, found):
    anomalies = {**FINE, **found} if found else {key: FINE[key] for key in ("train", "test")}
    assert the_reason(decide(plain, anomalies=anomalies)).startswith(
        "nothing was held against the schema in eval"
    )


def test_classes_added_and_removed_are_named(tmp_path, accepted):
    renamed = digits(tmp_path, names=(*NAMES[:9], "nine"))
    decision = decide(renamed, previous=accepted)
    assert the_reason(decision) == (
        "the classes differ from those of the last accepted dataset: added 'nine', removed '9'"
    )
    assert "set refresh.data.drift.label: null for the refresh that changes them" in decision.why
    assert decide(renamed, previous=accepted, drift={"label": None}).blessed


def test_classes_are_compared_by_name_not_by_order(tmp_path, accepted):
    """Labels are positions: a class that only moved would be drift of none."""
    turned = digits(tmp_path, names=NAMES[::-1])
    decision = decide(turned, previous=accepted)
    assert decision.blessed
    check = next(one for one in decision.checks if one.measure.startswith("drift of labels"))
    assert 0 < check.value < 0.05


def test_another_modality_is_refused(plain, reviews_dir, tmp_path):
    import shutil

    texts = profile(counted(shutil.copytree(reviews_dir, tmp_path / "texts")))
    assert texts.modality == "text"
    decision = decide(plain, previous=texts)
    assert the_reason(decision).startswith(
        "the last accepted dataset held texts, this one holds images"
    )
    assert "use another --root" in decision.why
    assert decide(plain, previous=texts, drift={"label": None, "features": None}).blessed


# Leakage


COUNTS = {"eval_leaking": 2, "test_leaking": 1, "eval_not_compared": 0, "test_not_compared": 0}


def leaking(root, **counts):
    """Write digits whose survey counts near-duplicates."""
    survey = json.dumps({"leakage": COUNTS | counts}).encode()
    entry = FileInfo(path="survey.json", bytes=len(survey), sha256=sha256(survey))
    digits(root, counts={"leakage": {"mode": "report"}}, files=(entry,))
    (root / "survey.json").write_bytes(survey)
    return root


def test_leakage_above_the_limit(tmp_path):
    root = leaking(tmp_path)
    decision = decide(root, max_leakage=0.005)
    assert the_reason(decision) == (
        "share of eval with a near-duplicate in train 0.0067 (n=300) is above the most allowed "
        "0.0050"
    )
    assert "leakage: drop" in decision.why
    assert decision.notes[0] == (
        "near-duplicates in train: 2 of 300 eval examples, 1 of 300 test examples"
    )
    assert decide(root, max_leakage=2 / 300).blessed


def test_what_was_not_compared_may_leak(tmp_path):
    root = leaking(tmp_path, test_not_compared=20)
    assert the_reason(decide(root, max_leakage=0.0699)) == (
        "share of test with a near-duplicate in train, or not compared for too many alike (20) "
        "0.0700 (n=300) is above the most allowed 0.0699"
    )
    decision = decide(root, max_leakage=0.0699)
    assert "keep one of many that are alike" in decision.why
    assert decision.notes[0] == (
        "near-duplicates in train: 2 of 300 eval examples, 21 of 300 test examples (20 of them not "
        "compared)"
    )
    assert decide(root, max_leakage=0.07).blessed


def test_leakage_without_a_limit_is_shown(tmp_path):
    decision = decide(leaking(tmp_path))
    assert decision.blessed
    shown = [one for one in decision.checks if one.measure.startswith("share of")]
    assert [(one.measure.split()[2], one.value, one.limit) for one in shown] == [
        ("eval", 2 / 300, 1),
        ("test", 1 / 300, 1),
    ]
    assert "(not gated)" in shown[0].describe()
    assert decision.notes[0].endswith("2 of 300 eval examples, 1 of 300 test examples (not gated)")


def test_where_nothing_leaks_nothing_is_said(tmp_path):
    decision = decide(leaking(tmp_path, eval_leaking=0, test_leaking=0), max_leakage=0.01)
    assert decision.notes == ("drift was not compared: no dataset was accepted before",)


def test_a_fix_is_said_once_whatever_it_mends(tmp_path):
    gates = {"max_leakage": 0.001, "min_examples": {"train": 2000}}
    decision = decide(leaking(tmp_path), **gates)
    assert [one.split()[0] for one in decision.reasons] == ["examples", "share", "share"]
    assert [one.split()[0] for one in decision.fixes] == ["add", "materialize"]
    assert decision.why.count("refresh.data.max_leakage") == 1


def test_leakage_that_was_not_looked_for_is_no_pass(plain):
    decision = decide(plain, max_leakage=0.01)
    assert decision.why == (
        "leakage was not looked for in this dataset, and refresh.data.max_leakage is 0.01. What to "
        "do: materialize with leakage: report or drop, or set refresh.data.max_leakage: null"
    )


def not_there(root):
    (root / "survey.json").unlink()


def exchanged(root):
    path = root / "survey.json"
    path.write_bytes(path.read_bytes().replace(b'"test_leaking": 1', b'"test_leaking": 0'))


def of_an_earlier_version(root):
    survey = json.dumps({"leakage": {"eval_examples": 2, "test_examples": 1}}).encode()
    entry = FileInfo(path="survey.json", bytes=len(survey), sha256=sha256(survey))
    (root / "survey.json").write_bytes(survey)
    manifest = dataclasses.replace(load_manifest(root), files=(entry,))
    (root / "manifest.json").write_text(manifest.to_json())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (not_there, "No such file"),
        (exchanged, "not the file that the manifest lists"),
        (of_an_earlier_version, "'eval_leaking' is missing: an earlier version wrote it"),
    ],
)
def test_a_survey_that_cannot_be_trusted_is_an_error(tmp_path, damage, reason):
    root = leaking(tmp_path)
    damage(root)
    with pytest.raises(InputError, match=f"survey.json: .*{reason}.* materialize the recipe again"):
        decide(root, max_leakage=0.5)


# Real datasets


def rebuilt(recipe, root, seed):
    from pipelines.dataset.materialize import materialize
    from pipelines.dataset.plan import make_plan
    from schemas.recipe import load_recipe

    overrides = (f"seed={seed}", "copies=0", "policy={preset: none}", "leakage=off")
    return materialize(make_plan(load_recipe(recipe, overrides), str(root)))


@pytest.mark.parametrize(
    ("recipe", "fixture"), [("digits", "digits_dataset"), ("reviews_sample", "reviews_dataset")]
)
def test_shipped_data_passes_and_does_so_with_another_seed(recipe, fixture, request, tmp_path):
    from pathlib import Path

    first = request.getfixturevalue(fixture)
    before, decision = check_dataset(
        dataset=Path(first.path), anomalies=FINE, gates=DataGates(), previous=FIRST_RUN
    )
    assert decision.blessed, decision.reasons
    again = rebuilt(recipe, tmp_path, 5)
    after, decision = check_dataset(
        dataset=Path(again.path),
        anomalies=FINE,
        gates=DataGates(),
        previous=Previous(state="present", profile=before),
    )
    assert decision.blessed, decision.reasons
    assert after.digest != before.digest
    assert sum(one.measure.startswith("drift") for one in decision.checks) == 4
