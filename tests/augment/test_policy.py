import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.augment import execute, registry
from pipelines.augment.calls import Branch, OpCall, Slot
from pipelines.augment.image import recolour, warp
from pipelines.augment.params import Flag
from pipelines.augment.policy import Policy, parse_policy
from pipelines.augment.presets import PRESETS
from schemas.errors import InputError
from tests.augment.support import images, keys, texts

ROWS = 60
SLOTS = {
    "slots": [
        {"op": "rotate", "degrees": 30, "probability": 0.7},
        {"choose": [{"op": "brightness", "weight": 3}, {"op": "gaussian_noise"}, "blur_box"]},
        {"op": "flip_vertical", "probability": 0.5, "fill": "reflect"},
        "contrast",
    ]
}


def apply(mapping, *, modality="image", rows=ROWS, **options):
    batch = images(rows, (14, 10, 3)) if modality == "image" else texts(rows)
    policy = parse_policy(mapping, modality)
    return policy.apply(batch, keys(rows), **{"seed": 3, "copy": 1, **options})


def test_copy_0_is_the_original_with_an_empty_trace():
    made, trace = apply(SLOTS, copy=0)
    assert np.array_equal(made, images(ROWS, (14, 10, 3)))
    assert set(trace["slot0.op"]) == {""}
    assert trace["slot0.rotate.degrees"].mask.all()
    made, _ = apply({"slots": ["random_swap"]}, modality="text", copy=0)
    assert made == texts(ROWS)


def test_trace_has_the_announced_columns_and_types():
    _, trace = apply(SLOTS)
    schema = parse_policy(SLOTS, "image").trace_schema()
    assert list(trace) == list(schema)
    for column, kind in schema.items():
        assert trace[column].dtype == {"str": object}.get(kind, kind)
        assert len(trace[column]) == ROWS


def test_trace_tells_what_was_done():
    batch = images(ROWS, (14, 10, 3))
    made, trace = apply({"slots": [{"op": "brightness", "probability": 0.5}]})
    applied = trace["slot0.op"] == "brightness"
    assert 10 < applied.sum() < 50
    assert (trace["slot0.brightness.factor"].mask == ~applied).all()
    factors = trace["slot0.brightness.factor"].compressed().astype(np.float64)
    maps = registry.get("brightness").kernel(factor=factors)
    assert np.array_equal(made[applied], recolour.recolour(batch[applied], maps))
    assert np.array_equal(made[~applied], batch[~applied])


def test_adjacent_affine_ops_are_one_interpolation():
    made, trace = apply({"slots": ["rotate", "shift", "zoom"]})
    fused = None
    for index, name in enumerate(("rotate", "shift", "zoom")):
        op = registry.get(name)
        params = {p: trace[f"slot{index}.{name}.{p}"].filled().astype(float) for p in op.params}
        matrices = op.kernel(height=14, width=10, **params)
        fused = matrices if fused is None else warp.compose(fused, matrices)
    assert np.array_equal(made, warp.warp(images(ROWS, (14, 10, 3)), fused, fill="nearest"))


def test_ops_that_cannot_be_fused_are_applied_in_turn():
    made, trace = apply({"slots": [{"op": "rotate", "fill": "wrap"}, "brightness", "shear"]})
    step = images(ROWS, (14, 10, 3))
    degrees = trace["slot0.rotate.degrees"].filled().astype(float)
    step = warp.warp(
        step, registry.get("rotate").kernel(height=14, width=10, degrees=degrees), fill="wrap"
    )
    factor = trace["slot1.brightness.factor"].filled().astype(float)
    step = recolour.recolour(step, registry.get("brightness").kernel(factor=factor))
    amount = trace["slot2.shear.amount"].filled().astype(float)
    step = warp.warp(
        step, registry.get("shear").kernel(height=14, width=10, amount=amount), fill="nearest"
    )
    assert np.array_equal(made, step)


def test_choices_follow_their_weights():
    choices = [{"op": "brightness", "weight": 3}, "contrast"]
    _, trace = apply({"slots": [{"choose": choices}]}, rows=4_000)
    share = (trace["slot0.op"] == "brightness").mean()
    assert share == pytest.approx(0.75, abs=0.04)


def test_branches_are_taken_whole_and_by_weight():
    branches = [
        {"weight": 1, "slots": ["brightness", "contrast"]},
        {"weight": 3, "slots": ["saturation"]},
    ]
    _, trace = apply({"branches": branches}, rows=4_000)
    assert (trace["branch"] == 1).mean() == pytest.approx(0.75, abs=0.04)
    assert set(trace["slot0.op"][trace["branch"] == 0]) == {"brightness"}
    assert set(trace["slot0.op"][trace["branch"] == 1]) == {"saturation"}
    assert set(trace["slot1.op"][trace["branch"] == 0]) == {"contrast"}
    assert set(trace["slot1.op"][trace["branch"] == 1]) == {""}


def test_ops_can_be_limited_to_some_labels():
    labels = np.arange(ROWS) % 10
    mapping = {"slots": [{"op": "brightness", "labels": [3, 7]}]}
    _, trace = apply(mapping, labels=labels)
    assert ((trace["slot0.op"] == "brightness") == np.isin(labels, [3, 7])).all()
    with pytest.raises(InputError, match="brightness is limited to some labels: pass labels="):
        apply(mapping)


def test_per_class_rules_hold_in_choices_and_branches_too():
    labels = np.arange(4_000) % 4
    choices = [{"op": "brightness", "labels": [0, 1], "weight": 3}, {"op": "contrast"}]
    mapping = {
        "branches": [
            {"slots": [{"choose": choices}]},
            {"slots": [{"op": "saturation", "labels": [1], "probability": 0.5}]},
        ]
    }
    _, trace = apply(mapping, rows=4_000, labels=labels)
    op, first = trace["slot0.op"], trace["branch"] == 0
    assert set(labels[op == "brightness"]) == {0, 1}
    assert set(labels[op == "saturation"]) == {1}
    assert set(labels[op == "contrast"]) == {0, 1, 2, 3}
    assert (op[first & (labels == 0)] == "brightness").mean() == pytest.approx(0.75, abs=0.08)
    # A row of another class that draws a limited op stays as it is; it draws no other op instead.
    assert (op[first & (labels == 2)] == "").mean() == pytest.approx(0.75, abs=0.08)
    assert (op[~first & (labels == 1)] == "saturation").mean() == pytest.approx(0.5, abs=0.09)


def test_slots_are_applied_in_the_order_given():
    made, _ = apply({"slots": [{"op": "posterize", "bits": 1}, "invert"]})
    other, _ = apply({"slots": ["invert", {"op": "posterize", "bits": 1}]})
    assert set(np.unique(made)) == {127, 255}
    assert set(np.unique(other)) == {0, 128}


def test_levels_of_strength_are_drawn_evenly():
    mapping = {"slots": [{"op": "rotate", "degrees": [90, 90], "strength": [0.2, 1, 5]}]}
    _, trace = apply(mapping, rows=5_000)
    degrees, counts = np.unique(trace["slot0.rotate.degrees"].filled(), return_counts=True)
    assert degrees == pytest.approx([18, 36, 54, 72, 90], abs=1e-4)
    assert counts == pytest.approx([1000] * 5, abs=150)
    policy = parse_policy(mapping, "image")
    written = policy.to_json()["branches"][0]["slots"][0]["choose"][0]
    assert written["strength"] == [0.2, 1.0, 5]
    assert parse_policy(policy.to_json(), "image").identity() == policy.identity()


def test_a_pair_of_strengths_draws_one_per_row():
    mapping = {"slots": [{"op": "rotate", "degrees": 100, "strength": [0, 1]}]}
    _, trace = apply(mapping, rows=4_000)
    degrees = np.abs(trace["slot0.rotate.degrees"].filled())
    # The product of two uniforms has mean 1/4 and lies below 1/10 with 0.1 * (1 + ln 10).
    assert degrees.mean() == pytest.approx(25, abs=1.5)
    assert (degrees < 10).mean() == pytest.approx(0.33, abs=0.03)
    mapping = {"slots": [{"op": "blur_box", "radius": 4, "strength": [0.5, 0.5]}]}
    _, trace = apply(mapping)
    assert set(trace["slot0.blur_box.radius"].tolist()) == {2}


def test_a_kernel_may_return_its_input(monkeypatch):
    monkeypatch.setattr(registry, "_OPS", dict(registry._OPS))

    @registry.image_op("keep", family="none", kind="pixel", version=1, params={"on": Flag()})
    def keep(images, *, on):
        """Keep the images."""
        return images

    batch = images(ROWS, (14, 10, 3))
    before = batch.copy()
    policy = parse_policy({"slots": ["keep", {"op": "zoom", "probability": 0.5}]}, "image")
    made, _ = policy.apply(batch, keys(ROWS), seed=1, copy=1)
    assert not np.array_equal(made, before)
    assert np.array_equal(batch, before)


def test_slots_draw_independently():
    _, trace = apply({"slots": ["brightness", "brightness"]}, rows=2_000)
    first, second = (trace[f"slot{i}.brightness.factor"].filled() for i in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_to_json_reads_back_and_names_versions():
    policy = parse_policy(SLOTS, "image")
    written = policy.to_json()
    assert parse_policy(written, "image").to_json() == written
    call = written["branches"][0]["slots"][0]["choose"][0]
    assert call == {
        "op": "rotate",
        "version": 1,
        "probability": 0.7,
        "strength": 1.0,
        "degrees": 30.0,
        "fill": "nearest",
        "fill_value": 0,
        "weight": 1.0,
    }


def test_equal_policies_have_one_identity_and_others_another(monkeypatch):
    identity = parse_policy(SLOTS, "image").identity()
    assert parse_policy(parse_policy(SLOTS, "image").to_json(), "image").identity() == identity
    assert parse_policy({"slots": SLOTS["slots"][:-1]}, "image").identity() != identity
    plain = parse_policy({"slots": ["zoom"]}, "image")
    spelled_out = parse_policy({"slots": [{"op": "zoom", "x": 0.2, "strength": 1}]}, "image")
    assert plain.identity() == spelled_out.identity()


def test_a_policy_of_another_version_is_refused():
    written = parse_policy({"slots": ["zoom"]}, "image").to_json()
    written["branches"][0]["slots"][0]["choose"][0]["version"] = 99
    with pytest.raises(InputError, match="recorded with version 99, this is version 1") as caught:
        parse_policy(written, "image")
    assert caught.value.path == ("branches", 0, "slots", 0, "choose", 0, "version")


def test_classic_is_one_warp_of_five_ops(monkeypatch):
    warps = []
    original = warp.warp

    def counted(batch, matrices, **options):
        warps.append(len(batch))
        return original(batch, matrices, **options)

    monkeypatch.setattr(execute.warp, "warp", counted)
    _, trace = apply({"preset": "classic"}, rows=1_000)
    assert warps == [1_000]
    assert np.abs(trace["slot0.rotate.degrees"]).max() == pytest.approx(20, abs=0.2)
    for column in ("slot1.shift.x", "slot1.shift.y", "slot2.shear.amount"):
        assert np.abs(trace[column]).max() == pytest.approx(0.2, abs=0.002)
    assert trace["slot3.zoom.x"].min() == pytest.approx(0.8, abs=0.005)
    assert (trace["slot4.op"] == "flip_horizontal").mean() == pytest.approx(0.5, abs=0.08)


def test_presets_pass_their_arguments_on():
    mapping = {"preset": "classic_colour", "rotation": 5, "contrast": 0.5, "fill": "wrap"}
    calls = {call.op: dict(call.options) for call in parse_policy(mapping, "image").calls()}
    assert calls["rotate"] == {"degrees": 5, "fill": "wrap"}
    assert calls["contrast"] == {"factor": 0.5}
    assert calls["brightness"] == {"factor": 0.2}


@pytest.mark.parametrize(
    ("modality", "name"), [(modality, name) for modality in PRESETS for name in PRESETS[modality]]
)
def test_every_preset_is_a_valid_documented_policy(modality, name):
    assert parse_policy({"preset": name}, modality).modality == modality
    assert PRESETS[modality][name].__doc__


@pytest.mark.parametrize(
    ("mapping", "path", "message"),
    [
        ({"preset": "clasic"}, ("preset",), "unknown preset 'clasic'. Did you mean 'classic'"),
        ({"preset": "synonyms"}, ("preset",), "unknown preset 'synonyms'.*Valid: .*classic"),
        ({"preset": "classic", "zom": 1}, ("zom",), "unknown argument 'zom'. Did you mean 'zoom'"),
        ({"preset": "classic", "zoom": 1.5}, ("zoom",), r"must be in \[0, 0.95\], got 1.5"),
        ({"preset": "classic", "fill": "x"}, ("fill",), "unknown value 'x'.*nearest"),
        ({}, (), "needs preset, slots or branches"),
        ({"slot": []}, (), r"needs preset, slots or branches, got \['slot'\]"),
        ({"slots": [], "seed": 1}, ("seed",), "unknown key 'seed'"),
        ({"slots": {}}, ("slots",), "slots must be a list"),
        ({"slots": [3]}, ("slots", 0), "an op must be a mapping, got 3"),
        ({"slots": [{}]}, ("slots", 0), "needs op"),
        ({"slots": ["zoom", "rotat"]}, ("slots", 1, "op"), "Did you mean 'rotate'"),
        ({"slots": ["random_swap"]}, ("slots", 0, "op"), "is for text data, not image"),
        ({"slots": [{"op": "zoom", "z": 1}]}, ("slots", 0, "z"), "unknown option 'z'"),
        (
            {"slots": [{"op": "zoom", "probability": 1.5}]},
            ("slots", 0, "probability"),
            r"probability must be a number in \[0, 1\], got 1.5",
        ),
        ({"slots": [{"op": "zoom", "strength": -1}]}, ("slots", 0, "strength"), "got -1"),
        ({"slots": [{"op": "zoom", "strength": "x"}]}, ("slots", 0, "strength"), "got 'x'"),
        ({"slots": [{"op": "zoom", "strength": [1, 0]}]}, ("slots", 0, "strength"), "low <= high"),
        ({"slots": [{"op": "zoom", "strength": [1]}]}, ("slots", 0, "strength"), "or a pair"),
        (
            {"slots": [{"op": "zoom", "strength": [0, 1, 1]}]},
            ("slots", 0, "strength"),
            r"levels of a strength must be an integer in \[2, 65536\], got 1",
        ),
        ({"slots": [{"op": "zoom", "x": [1, 2, 3]}]}, ("slots", 0, "x"), "a pair"),
        ({"slots": [{"op": "zoom", "x": {"a": 1}}]}, ("slots", 0, "x"), "cannot be a mapping"),
        ({"slots": [{"op": "zoom", "weight": 1}]}, ("slots", 0, "weight"), "remove it"),
        ({"slots": [{"op": "zoom", "labels": 3}]}, ("slots", 0, "labels"), "must be a list"),
        ({"slots": [{"op": "zoom", "labels": [-1]}]}, ("slots", 0, "labels"), "indices"),
        ({"slots": [{"choose": []}]}, ("slots", 0, "choose"), "at least one op"),
        (
            {"slots": [{"choose": ["zoom", {"op": "shear", "weight": 0}]}]},
            ("slots", 0, "choose", 1, "weight"),
            "weight must be a number above 0, got 0",
        ),
        ({"branches": [{"weight": 1}]}, ("branches", 0), "a branch needs slots"),
        ({"branches": []}, (), "at least one branch"),
        ({"modality": "text", "slots": []}, ("modality",), "for text data, the recipe for image"),
    ],
)
def test_parse_errors_name_the_key(mapping, path, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_policy(mapping, "image")
    assert caught.value.path == path


WORDS = st.sampled_from(
    ["preset", "classic", "slots", "branches", "choose", "op", "zoom", "x", "weight", "strength"]
    + ["probability", "labels", "fill", "modality", "image", "version", "reflect"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.just(3), inner),
    max_leaves=12,
)

CALLS = st.fixed_dictionaries(
    {"op": st.sampled_from(["zoom", "blur_box"])},
    optional={
        word: VALUES
        for word in ("x", "radius", "fill", "strength", "probability", "labels", "weight")
    },
)
SLOTS_OF_CALLS = st.fixed_dictionaries(
    {
        "slots": st.lists(
            CALLS | st.fixed_dictionaries({"choose": st.lists(CALLS, max_size=3)}), max_size=3
        )
    }
)


@settings(max_examples=60, deadline=None)
@given(mapping=VALUES | SLOTS_OF_CALLS)
def test_anything_else_is_refused_with_a_path_or_runs(mapping):
    try:
        policy = parse_policy(mapping, "image")
    except InputError as error:
        value = mapping
        for step in error.path[:-1]:
            value = value[step]
        return
    policy.apply(images(2, (3, 3, 3)), keys(2), seed=1, copy=1, labels=[0, 1])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), "must be a uint8 array.*got float32"),
        (np.zeros((2, 4, 4), np.uint8), r"C of 1 or 3, got \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), "C of 1 or 3"),
        (np.zeros((2, 0, 4, 3), np.uint8), "C of 1 or 3"),
        (np.zeros((3, 4, 4, 3), np.uint8), "a key per row is needed, got 2 for 3 rows"),
        (["a", "b"], "must be a uint8 array.*got list"),
    ],
)
def test_refuses_images_that_are_none(batch, message):
    with pytest.raises(InputError, match=message):
        parse_policy(SLOTS, "image").apply(batch, ["a", "b"], seed=1, copy=1)


def test_refuses_texts_that_are_none_and_labels_that_do_not_fit():
    policy = parse_policy({"slots": ["random_swap"]}, "text")
    for batch in ([b"a", b"b"], "ab"):
        with pytest.raises(InputError, match="texts must be a sequence of str"):
            policy.apply(batch, ["a", "b"], seed=1, copy=1)
    with pytest.raises(InputError, match="a label per row is needed, got 1 for 2 rows"):
        policy.apply(["a", "b"], ["a", "b"], seed=1, copy=1, labels=[1])


def test_policies_built_in_python_are_checked_too():
    with pytest.raises(InputError, match=r"strength must be a number in \[0, 1\], got 2"):
        OpCall("zoom", strength=2)
    with pytest.raises(InputError, match="unknown op"):
        OpCall("zooom")
    with pytest.raises(InputError, match="a weight for each, got 1 ops and 2 weights"):
        Slot((OpCall("zoom"),), (1.0, 2.0))
    with pytest.raises(InputError, match="is for image data, not text"):
        Policy("text", (Branch(1.0, (Slot((OpCall("zoom"),), (1.0,)),)),))
