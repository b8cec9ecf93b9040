"""Recipes: what is wrong, where, and what to write instead."""

import json
import textwrap

import pytest

from schemas.errors import InputError
from schemas.recipe import load_recipe, parse_recipe, shipped

GOOD = textwrap.dedent(
    """\
    name: mine
    modality: image
    source:
      kind: digits
    policy:
      slots:
        - op: rotate
          degrees: 10
        - op: shift
    splits:
      test: null
    """
)


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe: the good one with lines replaced or added."""

    def write(old="", new="", more=""):
        if old not in GOOD:
            raise ValueError(old)
        path = tmp_path / "mine.yaml"
        path.write_text(GOOD.replace(old, new, 1) + more)
        return str(path)

    return write


def problem(path, *overrides):
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def test_reads_a_recipe_and_its_defaults(recipe):
    loaded = load_recipe(recipe()).recipe
    assert (loaded.name, loaded.modality, loaded.source) == ("mine", "image", {"kind": "digits"})
    assert (loaded.copies, loaded.slice_size, loaded.seed) == (3, 2000, 0)
    assert loaded.splits.test is None
    assert loaded.splits.eval_share == 0.2
    assert loaded.on_bad_record == "fail"
    assert loaded.refresh is None


def test_shipped_recipes_are_valid_and_named_like_their_files():
    assert {"cifar10", "digits", "imdb", "reviews_sample"} <= shipped().keys()
    for name in shipped():
        assert load_recipe(name).recipe.name == name


@pytest.mark.parametrize(
    ("more", "line", "parts"),
    [
        ("copies: many\n", 12, ["copies: input should be a valid integer", "got 'many'"]),
        ("copies: 2.5\n", 12, ["copies:", "integer", "2.5"]),
        ("copies: -1\n", 12, ["greater than or equal to 0", "got -1"]),
        ("copies: 1000\n", 12, ["less than or equal to 999"]),
        ("copies: true\n", 12, ["integer", "True"]),
        ("copies: 0\nbalance: oversample\n", 13, ["balance: oversample adds", "set copies to 1"]),
        ("text:\n  store_tokens: true\n", 13, ["text.store_tokens: is for text recipes"]),
        ("image:\n  size: [64]\n", 13, ["image.size: must be [height, width]", "not [64]"]),
        ("image:\n  size: 64\n", 13, ["image.size: must be [height, width]", "not 64"]),
        (
            "copies: 0\nadversarial: {model: m.keras, epsilon: 4}\n",
            13,
            ["adversarial: it perturbs augmented copies; set copies to 1 or more"],
        ),
        ("seed: 9223372036854775808\n", 12, ["less than 9223372036854775808"]),
        ("slice_size: 0\n", 12, ["greater than 0"]),
        ("on_bad_record: skip\n", 12, ["'fail' or 'quarantine'", "got 'skip'"]),
        ("image: png\n", 12, ["image:", "'png'"]),
        ("image:\n  encoding: jpeg\n", 13, ["image.encoding:", "'png' or 'raw'", "'jpeg'"]),
        ("survey: {vocabulary: 1}\n", 12, ["survey.vocabulary", "greater than or equal to 2"]),
        ("copys: 3\n", 12, ["unknown key 'copys'", "Did you mean 'copies'?", "slice_size"]),
        ("image:\n  encodin: png\n", 13, ["unknown key 'encodin'", "Did you mean 'encoding'?"]),
        ("description: 3\n", 12, ["description", "valid string", "got 3"]),
        ("a: 1\n", 12, ["unknown key 'a'", "Valid: adversarial, balance, copies,"]),
    ],
)
def test_names_line_key_rule_and_value(recipe, more, line, parts):
    path = recipe(more=more)
    message = problem(path)
    assert message.startswith(f"{path}:{line}: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("name: mine\n", "", [":1:", "'name' is missing"]),
        ("policy:\n", "polcy:\n", [":5:", "unknown key 'polcy'", "Did you mean 'policy'?"]),
        ("  kind: digits\n", "  sort: digits\n", ["source needs a kind"]),
        ("source:\n  kind: digits\n", "source: digits\n", [":3:", "source:", "'digits'"]),
        ("  test: null\n", "  test: train\n", [":10:", "another source split"]),
        ("  test: null\n", "  eval_share: 0\n", [":11:", "splits.eval_share", "greater than 0"]),
        ("  test: null\n", "  eval_share: .nan\n", [":11:", "splits.eval_share", "nan"]),
        (
            "  test: null\n",
            "  test: null\n  eval_share: 0.5\n  test_share: 0.5\n",
            ["nothing is left to train"],
        ),
        ("name: mine\n", "name: ../up\n", [":1:", "lower-case letters", "'../up'"]),
        ("name: mine\n", "name: 7\n", [":1:", "valid string", "7"]),
        (GOOD, "- a list\n", ["a recipe is a mapping"]),
        (GOOD, "", ["a recipe is a mapping"]),
    ],
)
def test_names_what_the_rest_of_a_recipe_lacks(recipe, old, new, parts):
    message = problem(recipe(old, new))
    for part in parts:
        assert part in message


def test_unknown_recipe_lists_the_names_and_the_nearest():
    message = problem("digit")
    assert "unknown recipe 'digit'" in message
    assert "Did you mean 'digits'?" in message
    assert "cifar10, digits, imdb, reviews_sample" in message
    assert "path of a .yaml file" in message


@pytest.mark.parametrize("path", ["nowhere.yaml", "some/where", "."])
def test_missing_file_is_said_to_be_missing(path):
    message = problem(path)
    assert "no such recipe file" in message or "unknown recipe" in message


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("copies=1", lambda r: r.copies == 1),
        ("splits.eval_share=0.25", lambda r: r.splits.eval_share == 0.25),
        ("image.encoding=raw", lambda r: r.image.encoding == "raw"),
        ("policy.slots.1.op=zoom", lambda r: r.policy["slots"][1] == {"op": "zoom"}),
        ("policy.slots.0.degrees=5", lambda r: r.policy["slots"][0]["degrees"] == 5),
        ("policy={preset: none}", lambda r: r.policy == {"preset": "none"}),
        ("source.a.b=x=y", lambda r: r.source["a"] == {"b": "x=y"}),
        ("description=2026-11-24", lambda r: r.description == "2026-11-24"),
        ("splits.test=test", lambda r: r.splits.test == "test"),
    ],
)
def test_set_overrides_one_value(recipe, setting, where):
    loaded = load_recipe(recipe(), [setting])
    assert where(loaded.recipe)
    assert loaded.recipe.name == "mine"


def test_later_overrides_win_and_all_are_recorded(recipe):
    loaded = load_recipe(recipe(), ["copies=1", "copies=2"])
    assert loaded.recipe.copies == loaded.content["copies"] == 2


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("copies", ["--set copies: must read key=value"]),
        ("=1", ["must read key=value"]),
        ("copies=lots", ["--set copies: ", "valid integer", "'lots'"]),
        ("copys=1", ["--set copys", "Did you mean 'copies'?"]),
        ("image.encodin=raw", ["--set image.encodin", "Did you mean 'encoding'?"]),
        ("image={encoding: gif}", ["--set image: image.encoding: ", "'gif'"]),
        ("policy.slots.2.op=zoom", ["'2'", "one of 2 entries"]),
        ("policy.slots.-1.op=zoom", ["'-1'", "one of 2 entries"]),
        ("policy.slots.x=zoom", ["'x'", "one of 2 entries"]),
        ("copies=[1", ["not a plain YAML value"]),
    ],
)
def test_wrong_override_is_named(recipe, setting, parts):
    message = problem(recipe(), setting)
    for part in parts:
        assert part in message


def test_content_is_what_a_manifest_can_be_read_from(recipe):
    loaded = load_recipe(recipe(), ["copies=1"])
    again = parse_recipe(loaded.content, origin="manifest.json")
    assert again.recipe == loaded.recipe
    loaded.content["copies"] = 7
    assert again.content["copies"] == 1


@pytest.mark.parametrize(
    ("name", "setting", "texts"),
    [
        ("digits", "refresh.model=text_conv", ["text_conv takes no images; write image_resnet"]),
        ("digits", "refresh.robustness.families=[typos]", ["the examples are images"]),
        (
            "imdb",
            "refresh.profiles.smoke.robustness={families: [fog]}",
            ["refresh.profiles.smoke.robustness.families.0", "the examples are texts"],
        ),
        (
            "digits",
            "refresh.data.drift.features={length: 0.1}",
            ["names none of images", "brightness, contrast, saturation"],
        ),
    ],
)
def test_a_refresh_names_only_what_its_examples_have(name, setting, texts):
    message = problem(name, setting)
    assert message.startswith("--set ")
    for text in texts:
        assert text in message


@pytest.mark.parametrize("profile", ["smoke", "demo", "full"])
def test_an_override_stands_above_every_profile(profile):
    """Shipped profiles lay floors, sizes and epochs over the recipe."""

    def plan(*settings):
        return load_recipe("cifar10", settings).recipe.refresh.for_profile(profile)

    gates = plan("refresh.gates.floors.accuracy=0.99").gates
    assert gates.floors.accuracy == 0.99
    assert gates.floors.robust_accuracy == plan().gates.floors.robust_accuracy
    against = plan("refresh.gates.against_live={required_gain: 0.01}").gates.against_live
    assert (against.required_gain, against.tolerated_loss) == (0.01, None)
    stage = plan("refresh.stages.0.config.epochs=77").stage("teacher")
    assert stage.config.epochs == 77
    assert stage.config.examples == plan().stage("teacher").config.examples
    assert plan("refresh.stages.2.config={ratio: 0.1}").stage("pruned").config.ratio == 0.1
    own = f"refresh.profiles.{profile}.gates.floors.accuracy=0.5"
    assert plan(own, "refresh.gates.floors.accuracy=0.99").gates.floors.accuracy == 0.5


def test_an_override_below_what_a_profile_sets_whole_is_refused(tmp_path):
    content = load_recipe("digits").content
    content["refresh"]["profiles"]["smoke"]["data"] = {"drift": None}
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as found:
        load_recipe(str(path), ["refresh.data.drift.label=0.3"])
    assert str(found.value) == (
        "--set refresh.data.drift.label=0.3: profile smoke says null of all that: set "
        "refresh.profiles.smoke.data.drift."
    )


def test_wrong_lists_are_named_in_the_words_of_yaml():
    for setting, text in (
        ("refresh.stages=[]", "refresh.stages: must have at least 1 entry; got []"),
        ("refresh.notify.command=./tell.sh", "must be a list, as in [a, b]."),
    ):
        with pytest.raises(InputError) as found:
            load_recipe("digits", [setting])
        assert text in str(found.value)
