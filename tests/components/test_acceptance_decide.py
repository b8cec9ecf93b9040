"""Rules against evidence: outcomes, reasons, and the files a decision is computed from again."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.acceptance import (
    Ceiling,
    Comparison,
    Decision,
    Evidence,
    Floor,
    LiveEvidence,
    Predictions,
    accepted,
    decide,
    read_evidence,
    read_predictions,
    recompute,
    rules_of,
    write_evidence,
    write_predictions,
)
from schemas.errors import FailedError, InputError
from schemas.figures import LARGEST_LOSS
from schemas.gates import Gates
from schemas.validation import validated

CLASSES = ("cat", "dog")


def answers(right, *, classes=CLASSES, sure=0.9, labels=None, **columns):
    """A table whose i-th answer is right where ``right[i]`` is; labels alternate."""
    right = np.asarray(right, bool)
    truth = np.arange(len(right)) % len(classes) if labels is None else np.asarray(labels)
    given = np.where(right, truth, (truth + 1) % len(classes))
    shares = np.full((len(right), len(classes)), (1 - sure) / (len(classes) - 1))
    shares[np.arange(len(right)), given] = sure
    keys = columns.pop("keys", [f"test-{i:06d}" for i in range(len(right))])
    return Predictions.of(shares, truth, keys, classes=classes, **columns)


def share(right, n):
    return answers(np.arange(n) < right)


def only(rules, table, **more):
    (decision,) = decide(rules, Evidence(tables={"test": table}, **more))
    return decision


def against(new, old, **rule):
    live = LiveEvidence(state="present", tables={"test": old})
    (decision,) = decide([Comparison(**rule)], Evidence(tables={"test": new}, live=live))
    return decision


def pair(gains, losses, n):
    at = np.arange(n)
    return answers(at >= losses), answers((at < losses) | (at >= losses + gains))


# Floors


def test_a_floor_is_held_against_the_lower_bound():
    decision = only([Floor(threshold=0.9)], share(930, 1000))
    assert decision.passed
    assert decision.bound == pytest.approx(0.91526, abs=1e-4)
    assert decision.reason == (
        "accuracy 0.9300 of 1,000 examples: at least 0.9153 with 95 % confidence, floor 0.9000"
    )


def test_a_share_below_the_floor_fails():
    decision = only([Floor(threshold=0.9)], share(890, 1000))
    assert decision.outcome == "failed"
    assert decision.reason == "accuracy 0.8900 of 1,000 examples is below the floor 0.9000"


def test_too_few_examples_are_refused_with_their_number():
    decision = only([Floor(threshold=0.9)], share(46, 50))
    assert decision.outcome == "too_few"
    assert not decision.passed
    assert decision.reason == (
        "accuracy 0.9200 of 50 examples meets the floor 0.9000, but at 95 % confidence only 0.8262 "
        "is shown: too few examples; about 1,400 examples would show it 4 times in 5"
    )
    assert only([Floor(threshold=0.9)], share(1288, 1400)).passed


def test_no_number_of_examples_is_named_for_the_floor_itself():
    assert (
        "no practical number of examples would show it"
        in only([Floor(threshold=0.9)], share(90, 100)).reason
    )


def test_figures_that_round_alike_are_told_apart():
    reason = only([Floor(threshold=0.9)], share(89_999, 100_000)).reason
    assert reason == "accuracy 0.89999 of 100,000 examples is below the floor 0.90000"


def test_recall_is_decided_class_by_class():
    right = np.arange(1000) % 2 == 0  # all cats, no dog
    cat, dog = decide(
        [Floor(threshold=0.9, group="class")], Evidence(tables={"test": answers(right)})
    )
    assert (cat.name, cat.outcome) == ("recall[cat]", "passed")
    assert (dog.name, dog.outcome) == ("recall[dog]", "failed")


def test_a_class_without_an_example_is_a_refusal():
    table = answers(np.ones(300, bool), labels=np.zeros(300, int))
    decision = decide([Floor(threshold=0.9, group="class")], Evidence(tables={"test": table}))[1]
    assert decision.outcome == "too_few"
    assert decision.reason == "recall[dog] has no example; it takes 29 at the very least"


def test_accuracy_of_slices_and_of_one_that_nothing_belongs_to():
    slices = [("brightness=low",) if i < 400 else ("brightness=high",) for i in range(800)]
    table = answers(np.arange(800) >= 100, slices=slices)
    evidence = Evidence(tables={"test": table})
    found = decide([Floor(threshold=0.9, group="slice")], evidence)
    assert [(one.name, one.passed) for one in found] == [
        ("accuracy[brightness=high]", True),
        ("accuracy[brightness=low]", False),
    ]
    low = Floor(threshold=0.9, group="slice", only="brightness=low")
    assert decide([low], evidence) == found[1:]


def test_a_name_that_does_not_occur_is_a_refusal_with_the_nearest():
    table = answers([1] * 90, slices=[("brightness=low",)] * 90)
    for group, name, text in (
        ("slice", "brightness=law", "Did you mean 'brightness=low'? Valid: brightness=low."),
        ("class", "cog", "Did you mean 'dog'? Valid: cat, dog."),
    ):
        decision = only([Floor(threshold=0.9, group=group, only=name)], table)
        assert decision.outcome == "not_measured"
        assert text in decision.reason
    decision = only([Floor(threshold=0.9, group="slice")], share(90, 90))
    assert decision.reason == "accuracy[every slice]: the examples were put into no slices"


def test_predictions_that_are_missing_are_a_refusal():
    decision = only([Floor(threshold=0.5, table="unseen_corruptions")], share(9, 9))
    assert decision.outcome == "not_measured"
    assert "no predictions named 'unseen_corruptions' (there are: test)" in decision.reason


def test_forms_of_one_example_count_once():
    """300 answers about 20 images are 20 examples, with shares of right answers."""
    keys = np.repeat([f"k{i:02d}" for i in range(20)], 15)
    forms = [f"noise/{i}" for i in range(15)] * 20
    labels = np.repeat(np.arange(20) % 2, 15)
    table = answers(np.arange(300) % 15 > 0, labels=labels, keys=list(keys), variants=forms)
    rule = Floor(threshold=0.9, table="unseen_corruptions")
    (decision,) = decide([rule], Evidence(tables={rule.table: table}))
    assert decision.outcome == "too_few"
    assert decision.numbers["examples"] == 20
    assert decision.numbers["answers"] == 300
    assert decision.value == pytest.approx(14 / 15)
    for more in ({}, {"live": LiveEvidence(state="present", tables={"test": table})}):
        tables = {"other": table} if more else {"test": table}
        with pytest.raises(InputError, match="one answer per example, not 300 about 20; put the"):
            Evidence(tables=tables, **more)


# Ceilings


@pytest.mark.parametrize(("value", "passed"), [(999, True), (1000, True), (1001, False)])
def test_a_cost_may_equal_its_ceiling(value, passed):
    rules = [Floor(threshold=0.1), Ceiling(metric="bytes", threshold=1000)]
    decision = decide(rules, Evidence(tables={"test": share(99, 100)}, costs={"bytes": value}))[1]
    assert decision.passed is passed
    if not passed:
        assert decision.reason == "bytes 1,001 is above the ceiling 1,000"


def test_a_cost_that_was_not_measured_is_a_refusal():
    rules = [Floor(threshold=0.1), Ceiling(metric="memory_bytes", threshold=1000)]
    decision = decide(rules, Evidence(tables={"test": share(99, 100)}))[1]
    assert decision.outcome == "not_measured"
    assert not decision.passed


@pytest.mark.parametrize("cost", [float("nan"), (1.0, float("inf"))])
def test_a_cost_that_is_no_number_is_an_error(cost):
    with pytest.raises(InputError, match="latency_p95_ms must be a number, not .*; leave out"):
        Evidence(tables={"test": share(99, 100)}, costs={"latency_p95_ms": cost})


def test_a_latency_is_bounded_by_its_measurements():
    rules = [Floor(threshold=0.1), Ceiling(metric="latency_p95_ms", threshold=2.0)]

    def latency(values):
        evidence = Evidence(
            tables={"test": share(99, 100)}, costs={"latency_p95_ms": tuple(values)}
        )
        return decide(rules, evidence)[1]

    assert latency([1.5] * 59).passed
    few = latency([1.5] * 58)
    assert (few.outcome, few.bound, few.numbers["measurements_needed"]) == ("too_few", None, 59)
    assert few.reason.endswith("so few measurements give no bound: it takes at least 59")
    assert latency([1.5] * 90 + [3.0] * 10).outcome == "failed"
    near = latency([1.5] * 191 + [3.0] * 9)
    assert near.reason == (
        "latency_p95_ms 1.5000 of 200 measurements keeps to the ceiling 2.0000, but up to 3.0000 "
        "is possible at 95 % confidence: raise the ceiling above 3.0000, measure on a quieter "
        "machine, or make the model smaller"
    )


def test_calibration_and_loss_have_ceilings():
    table = answers(np.arange(2000) % 10 > 0, sure=0.95)  # right in 90 %, sure in 95 %
    rules = [Floor(threshold=0.1)]
    for metric, ceiling, outcome in (
        ("calibration_error", 0.1, "passed"),
        ("calibration_error", 0.051, "too_few"),
        ("calibration_error", 0.02, "failed"),
        ("loss", 0.5, "passed"),
        ("loss", 0.2, "failed"),
    ):
        rule = Ceiling(metric=metric, threshold=ceiling)
        decision = decide([*rules, rule], Evidence(tables={"test": table}))[1]
        assert decision.outcome == outcome, decision.reason
        if outcome == "too_few":
            assert "few examples; as a rough guide, " in decision.reason
        assert decision.bound > decision.value
    for rule in (
        Ceiling(metric="calibration_error", threshold=0.3),
        Ceiling(metric="loss", threshold=1.0),
    ):
        assert decide([*rules, rule], Evidence(tables={"test": share(190, 199)}))[1].passed
        none = decide([*rules, rule], Evidence(tables={"test": share(0, 0)}))[1]
        assert (none.outcome, none.reason) == ("too_few", f"{rule.metric}: there is no example")


def sure(wrong, n):
    """Answers that are all but certain, some of them of the wrong class: 0 or 16.1 nats."""
    return answers(np.arange(n) >= wrong, sure=1 - 1e-9)


def test_equal_losses_show_nothing_below_what_a_few_sure_mistakes_would_make():
    """A model that is wrong in 0.6 % makes none in 3 of 10 samples of 200; its loss is 0.097."""
    rule = Ceiling(metric="loss", threshold=0.05)
    none = decide([Floor(threshold=0.1), rule], Evidence(tables={"test": sure(0, 200)}))[1]
    assert (none.outcome, none.value) == ("too_few", 0)
    assert 0.24 < none.bound < 0.31
    assert "about 1,300 examples would show it" in none.reason
    assert decide([Floor(threshold=0.1), rule], Evidence(tables={"test": sure(0, 1300)}))[1].passed
    same = against(sure(0, 200), sure(0, 200), metric="loss", margin=-0.05)
    assert (same.outcome, same.bound) == ("too_few", -none.bound)


@pytest.mark.parametrize("rule", ["ceiling", "comparison"])
def test_models_with_sure_mistakes_pass_no_more_often_than_alpha(rule):
    """The true loss is 0.097: twice what is accepted."""
    random, perfect, passed = np.random.default_rng(1), sure(0, 200), 0
    for count in random.binomial(200, 0.006, size=100):
        if rule == "ceiling":
            rules = [Floor(threshold=0.5), Ceiling(metric="loss", threshold=0.05)]
            passed += decide(rules, Evidence(tables={"test": sure(count, 200)}))[1].passed
        else:
            passed += against(sure(count, 200), perfect, metric="loss", margin=-0.05).passed
    assert passed <= 5


# Against the live model


def test_an_equal_model_is_no_gain_and_no_intolerable_loss():
    new, old = pair(40, 40, 2000)
    assert against(new, old, margin=-0.02).passed
    assert against(new, old, margin=0.01).outcome == "failed"
    same = against(new, new, margin=0.0)
    assert same.outcome == against(new, old, margin=0.0).outcome == "failed"
    assert same.reason.endswith("(0 won, 0 lost, p=1) is no gain")
    little = against(*pair(41, 40, 2000), margin=0.0)
    assert little.outcome == "too_few"
    assert "is a gain, but at 95 % confidence only -0.0" in little.reason
    assert same.numbers["mcnemar_one_sided"] == 1


def test_a_worse_model_is_refused_with_its_table():
    new, old = pair(10, 60, 1000)
    decision = against(new, old, margin=-0.01)
    assert decision.outcome == "failed"
    assert decision.reason == (
        "accuracy worse by 0.0500 than the live model's of 1,000 examples (10 won, 60 lost, p=1) "
        "is beyond the tolerated loss 0.0100"
    )
    assert {name: decision.numbers[name] for name in list(decision.numbers)[:5]} == {
        "examples": 1000,
        "both_right": 930,
        "candidate_alone_right": 10,
        "live_alone_right": 60,
        "both_wrong": 0,
    }


def test_a_comparison_on_too_few_examples_says_how_many_it_takes():
    new, old = pair(12, 10, 300)
    decision = against(new, old, margin=-0.01)
    assert decision.outcome == "too_few"
    assert (
        "keeps to the tolerated loss 0.0100, but at 95 % confidence only -0.0201 is shown"
        in decision.reason
    )
    assert decision.reason.endswith("about 1,700 examples would show it 4 times in 5")


def test_a_better_model_gains():
    new, old = pair(60, 20, 1000)
    assert against(new, old, margin=0.0).passed
    decision = against(new, old, margin=0.02)
    assert decision.passed
    assert decision.bound >= 0.02
    assert "which reaches the required gain 0.0200" in decision.reason


@pytest.mark.parametrize("metric", ["loss", "calibration_error"])
def test_other_metrics_are_compared_by_a_bound(metric):
    right = np.arange(8000) % 10 > 0
    good, poor = answers(right, sure=0.9), answers(right, sure=0.99)
    assert against(good, poor, metric=metric, margin=0.01).passed
    worse = against(poor, good, metric=metric, margin=-0.01)
    assert worse.outcome == "failed"
    assert worse.value == pytest.approx(-against(good, poor, metric=metric, margin=0.0).value)
    assert against(good, good, metric=metric, margin=-0.03).passed
    assert not against(good, good, metric=metric, margin=0.0).passed
    few = against(share(170, 199), share(169, 199), metric=metric, margin=0.0)
    assert few.outcome == "too_few"
    assert ("as a rough guide" in few.reason) == (metric == "calibration_error")


@pytest.mark.parametrize("metric", ["accuracy", "loss", "calibration_error"])
@pytest.mark.parametrize("margin", [-0.05, 0.0, 0.05])
def test_a_comparison_without_an_example_says_so(metric, margin):
    none = against(share(0, 0), share(0, 0), metric=metric, margin=margin)
    assert (none.outcome, none.bound) == ("too_few", None)
    assert none.reason == f"{metric} against live: there is no example"
    assert none.numbers["examples_needed"] == 1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([-0.02, 0.0, 0.02]))
def test_verdict_bound_and_p_value_agree(gains, losses, margin):
    decision = against(*pair(gains, losses, 400), margin=margin)
    assert decision.passed == (decision.numbers["p_value"] <= 0.05)
    assert decision.bound <= decision.value + 1e-9
    if decision.passed:
        assert decision.bound >= margin


@pytest.mark.parametrize(
    ("live", "key", "why"),
    [
        (LiveEvidence(state="first_run"), "on_first_run", "nothing is live yet"),
        (LiveEvidence(state="missing", why="no such file"), "on_missing", "(no such file)"),
        (LiveEvidence(state="incompatible", why="text"), "on_incompatible", "(text)"),
        (
            LiveEvidence(state="present", tables={"other": share(5, 5)}),
            "on_missing",
            "no predictions named 'test'",
        ),
        (
            LiveEvidence(state="present", tables={"test": share(5, 6)}),
            "on_incompatible",
            "scored on other examples: 1 that the candidate was not, 0 the other way round",
        ),
        (
            LiveEvidence(
                state="present", tables={"test": answers([1] * 5, classes=("cat", "cow"))}
            ),
            "on_incompatible",
            "its classes differ: cow, dog",
        ),
        (
            LiveEvidence(state="present", tables={"test": answers([1] * 5, labels=[1] * 5)}),
            "on_incompatible",
            "scored with other labels of 3 examples",
        ),
    ],
)
def test_without_a_live_model_the_rule_says_what_holds(live, key, why):
    evidence = Evidence(tables={"test": share(5, 5)}, live=live)
    floor = Floor(threshold=0.1)
    left = decide([floor, Comparison(margin=0, **{key: "floors"})], evidence)[1]
    assert (left.outcome, left.passed) == ("left_to_floors", True)
    assert why in left.reason
    refused = decide([floor, Comparison(margin=0, **{key: "refuse"})], evidence)[1]
    assert not refused.passed
    assert why in refused.reason
    alone = only([Comparison(margin=0, **{key: "floors"})], share(5, 5), live=live)
    assert not alone.passed
    assert "there is no floor to leave the decision to" in alone.reason


def test_by_default_only_a_first_run_is_left_to_the_floors():
    rules = rules_of(
        validated(Gates, {"floors": {"accuracy": 0.5}, "against_live": {"tolerated_loss": 0}})
    )
    table = {"test": share(99, 100)}
    for state, passes in (("first_run", True), ("missing", False), ("incompatible", False)):
        evidence = Evidence(tables=table, live=LiveEvidence(state=state))
        assert accepted(decide(rules, evidence)) is passes


def test_live_evidence_is_whole():
    with pytest.raises(InputError, match="present has tables"):
        LiveEvidence(state="present")
    with pytest.raises(InputError, match="others have none"):
        LiveEvidence(state="missing", tables={"test": share(1, 1)})


def test_no_rule_is_a_refusal():
    decision = only([], share(5, 5))
    assert decision.outcome == "no_rule"
    assert "no threshold is set" in decision.reason
    costs = {"bytes": 1}
    ceiling = [Ceiling(metric="bytes", threshold=9)]
    found = decide(ceiling, Evidence(tables={"test": share(5, 5)}, costs=costs))
    assert [one.passed for one in found] == [False, True]
    assert "ceilings alone are set" in found[0].reason
    assert accepted(decide(ceiling, Evidence(tables={}, costs=costs))), "no answers to judge"
    assert not accepted(decide([], Evidence(tables={}, costs=costs)))
    assert not accepted([])
    assert not accepted(found)


def test_rules_are_checked():
    for make, text in (
        (lambda: Floor(threshold=1.0), "a floor must lie above 0 and below 1, not 1.0"),
        (lambda: Ceiling(metric="byte", threshold=1), "Did you mean 'bytes'?"),
        (lambda: Ceiling(metric="bytes", threshold=0), "a ceiling must lie above 0, not 0"),
        (lambda: Comparison(margin=0, metric="recall"), "unknown metric of a comparison 'recall'"),
        (lambda: Ceiling(metric="bytes", threshold=math.inf), "bytes must lie below infinity"),
        (lambda: Ceiling(metric="loss", threshold=16.2), "loss must lie below 16.1181, not 16.2"),
        (lambda: Ceiling(metric="loss", threshold=LARGEST_LOSS), "loss must lie below 16.1181"),
        (lambda: Ceiling(metric="calibration_error", threshold=1), "must lie below 1, not 1"),
        (
            lambda: Comparison(margin=-17, metric="loss"),
            "between -16.1181 and 16.1181, not -17",
        ),
        (lambda: Comparison(margin=math.nan, metric="loss"), "-16.1181 and 16.1181, not nan"),
        (lambda: Comparison(margin=-1, metric="calibration_error"), "between -1 and 1, not -1"),
        (lambda: Comparison(margin=-2), "accuracy must lie between -1 and 1, not -2"),
        (lambda: Floor(threshold=0.5, alpha=0), "alpha must lie above 0 and below 0.5, not 0"),
    ):
        with pytest.raises(InputError) as error:
            make()
        assert text in str(error.value)


# Predictions and files


def rich():
    random = np.random.default_rng(3)
    shares = random.dirichlet(np.ones(3), size=400)
    labels = random.integers(0, 3, 400)
    slices = [("length=low",) if i % 3 else () for i in range(400)]
    keys = [f"é{i}" for i in range(400)]
    about = {"split": "test", "dataset": "d" * 64}
    return Predictions.of(shares, labels, keys, classes=("a", "b", "ü"), slices=slices, about=about)


def everything():
    table, other = rich(), dataclasses.replace(rich(), about={})
    rules = [
        Floor(threshold=0.1),
        Floor(threshold=0.3, group="class"),
        Floor(threshold=0.3, group="slice"),
        Ceiling(metric="bytes", threshold=9),
        Ceiling(metric="latency_p95_ms", threshold=9),
        Ceiling(metric="calibration_error", threshold=0.4),
        Ceiling(metric="loss", threshold=0.5),
        *(
            Comparison(margin=-0.05, metric=one)
            for one in ("accuracy", "loss", "calibration_error")
        ),
    ]
    evidence = Evidence(
        tables={"test": table},
        costs={"bytes": 10, "latency_p95_ms": (1.0, 2.0, 3.0)},
        live=LiveEvidence(state="present", tables={"test": other}),
    )
    return rules, evidence


def test_a_decision_is_computed_again_from_its_files(tmp_path):
    rules, evidence = everything()
    decisions = decide(rules, evidence)
    assert {one.outcome for one in decisions} >= {"passed", "failed", "too_few"}
    write_evidence(tmp_path, rules, evidence, decisions)
    again = recompute(tmp_path)
    assert [one.to_json() for one in again] == [one.to_json() for one in decisions]
    assert read_evidence(tmp_path)[0] == tuple(rules)


def test_order_of_the_answers_does_not_matter():
    table = rich()
    order = np.random.default_rng(1).permutation(400)
    random = np.random.default_rng(3)
    shares, labels = random.dirichlet(np.ones(3), size=400), random.integers(0, 3, 400)
    shuffled = Predictions.of(
        shares[order],
        labels[order],
        [f"é{i}" for i in order],
        classes=table.classes,
        slices=[("length=low",) if i % 3 else () for i in order],
        about=table.about,
    )
    assert shuffled.digest == table.digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r["rules"][0].update(threshold=0.9), "stored decision 'accuracy'"),
        (lambda r: r["decisions"][0].update(value=0.99), "stored decision 'accuracy'"),
        (lambda r: r["decisions"][4].update(outcome="passed"), "stored decision"),
        (lambda r: r["costs"].update(bytes=1), "stored decision 'bytes'"),
        (lambda r: r["candidate"].update(test="0" * 64), "another table"),
        (lambda r: r["decisions"].pop(), "decisions, stored are"),
        (lambda r: r.pop("rules"), "no readable record"),
        (lambda r: r["candidate"].update({"../x": "0"}), "'../x' is no name of a table"),
    ],
)
def test_what_was_changed_afterwards_is_named(tmp_path, change, named):
    rules, evidence = everything()
    write_evidence(tmp_path, rules, evidence, decide(rules, evidence))
    path = tmp_path / "decisions.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(FailedError, match=named):
        recompute(tmp_path)


def test_a_changed_table_is_named(tmp_path):
    rules, evidence = everything()
    write_evidence(tmp_path, rules, evidence, decide(rules, evidence))
    path = tmp_path / "live" / "test.parquet"
    content = bytearray(path.read_bytes())
    for at in (6, len(content) // 2):
        broken = bytearray(content)
        broken[at] ^= 1
        path.write_bytes(broken)
        with pytest.raises(FailedError, match="test.parquet"):
            recompute(tmp_path)
    path.unlink()
    with pytest.raises(FailedError, match="test.parquet"):
        recompute(tmp_path)


def test_predictions_survive_their_file(tmp_path):
    table = rich()
    write_predictions(table, tmp_path / "one.parquet")
    found = read_predictions(tmp_path / "one.parquet")
    assert found.digest == table.digest
    assert found.keys == table.keys
    assert found.slices == table.slices
    assert found.probability.dtype == np.float32
    write_predictions(table, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_predictions_are_checked():
    one = {"classes": CLASSES}
    for call, text in (
        (lambda: Predictions.of([[0.5]], [0], ["k"], **one), "1 rows of 2 classes, not (1, 1)"),
        (lambda: Predictions.of([[0.5, 0.5]], [2], ["k"], **one), "from 0 to 1"),
        (lambda: Predictions.of([[0.5, np.nan]], [0], ["k"], **one), "example 'k' has none"),
        (lambda: Predictions.of([[1.5, 0.5]], [0], ["k"], **one), "example 'k' has 1.5"),
        (lambda: Predictions.of([[1, 0]] * 2, [0, 0], ["k", "k"], **one), "occurs twice"),
        (lambda: Predictions.of([[1, 0]] * 2, [0, 0], ["k"], **one), "as many keys, not 1"),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert text in str(error.value)


def test_no_loss_exceeds_the_largest():
    worst = answers([0] * 9, sure=1.0)
    assert (worst.losses <= LARGEST_LOSS + 1e-9).all()
    assert worst.losses.max() == pytest.approx(LARGEST_LOSS)


def test_a_decision_survives_json_and_its_verdict_is_computed_again():
    decision = only([Floor(threshold=0.9)], share(46, 50))
    data = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert Decision.from_json({**data, "passed": True}) == decision


def test_latencies_without_a_bound_are_a_record_all_the_same(tmp_path):
    """JSON knows no infinity."""
    rules = [Floor(threshold=0.1), Ceiling(metric="latency_p95_ms", threshold=9)]
    evidence = Evidence(tables={"test": share(99, 100)}, costs={"latency_p95_ms": (1.0, 2.0)})
    decisions = decide(rules, evidence)
    assert decisions[1].bound is None
    write_evidence(tmp_path, rules, evidence, decisions)
    assert recompute(tmp_path) == decisions
