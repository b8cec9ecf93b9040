"""Folders of probes: what is in them, what names them, and that they are whole or not there."""

import dataclasses
import json
import re
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from components.data import inputs_of
from components.probes import Probes
from pipelines.augment.policy import parse_policy
from pipelines.dataset.lookup import decode_value
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, read_shard
from pipelines.probes import build
from pipelines.probes.build import check_probes, sampled, write_probes
from schemas import probes as settings
from schemas.errors import FailedError, InputError
from schemas.manifest import load_manifest
from schemas.probes import Robustness
from schemas.recipe import load_recipe
from schemas.tokens import token_ids, vocabulary_ids
from tests.dataset.support import parsed, text_records, tfds_recipe, write_tfds

PLAIN = parse_policy({"preset": "none"}, "image")
NOISY = parse_policy({"slots": ["gaussian_noise"]}, "image")
FEW = Robustness(examples=20, severities=(1, 5), families=("gaussian_noise", "brightness"))
SEED = 7


def written(dataset, folder, *, policy=PLAIN, seed=SEED, robustness=FEW, **more):
    return write_probes(dataset, folder, policy=policy, seed=seed, robustness=robustness, **more)


@pytest.fixture(scope="session")
def digits(digits_dataset):
    return Path(digits_dataset.path)


@pytest.fixture(scope="session")
def finished(digits, tmp_path_factory):
    """A folder of probes of the digits. Read only."""
    return written(digits, tmp_path_factory.mktemp("probes"))


@pytest.fixture
def copied(finished, tmp_path):
    """The same, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "copied" / finished.name))


def originals(dataset):
    """Return the test split's examples by key, in the order of the dataset."""
    manifest = load_manifest(dataset)
    paths = sorted(one.path for one in manifest.shards if one.split == "test")
    records = [one for path in paths for one in read_shard((dataset / path).read_bytes(), path)]
    rows = map(decode_example, records)
    return {row["key"][0].decode(): row for row in rows}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"examples": 0}, ("examples",), "1 or more, not 0; to measure no corruption"),
        ({"severities": ()}, ("severities",), "names nothing"),
        ({"severities": (1, 6)}, ("severities", 1), r"1 \(least\) to 5, not 6"),
        ({"severities": (2, 2)}, ("severities", 1), "names 2 twice"),
        ({"families": ("fogg",)}, ("families", 0), "Did you mean 'fog'"),
        ({"families": ("fog", "fog")}, ("families", 1), "names 'fog' twice"),
    ],
)
def test_settings_that_make_no_sense(given, path, message):
    with pytest.raises(ValidationError, match=message) as caught:
        Robustness(**given)
    assert caught.value.errors()[0]["ctx"]["error"].path == path


def test_the_registries_are_those_of_the_settings():
    assert {modality: tuple(one) for modality, one in build.REGISTRIES.items()} == settings.FAMILIES


def test_the_settings_of_the_document_are_valid():
    text = (Path(__file__).parents[2] / "docs" / "robustness.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    given = yaml.safe_load(block)["refresh"]["robustness"]
    assert set(given) == {one.name for one in dataclasses.fields(Robustness)}
    assert Robustness(**given).families_of("image") == ("snow", "frost", "fog")


def test_corrupted_images_are_stored_as_the_dataset_is(digits, finished):
    probes, before = Probes.open(finished), originals(digits)
    schema = load_manifest(digits).schema
    keys = [key for key in before if key in sampled(list(before), 20)]
    assert [name for name, _, _ in probes.variants()] == [
        f"{family}/{severity}" for family in ("gaussian_noise", "brightness") for severity in (1, 5)
    ]
    for name, seen, path in probes.variants():
        records = probes.read(path)
        rows = list(map(decode_example, records))
        assert not seen
        assert [row["key"][0].decode() for row in rows] == keys
        assert inputs_of(records, schema).shape == (20, *schema.image_shape)
        family, severity = name.split("/")
        originals_of = np.stack([decode_value(before[key]["image"][0], schema) for key in keys])
        made = build.REGISTRIES["image"][family].apply(
            originals_of, keys, severity=int(severity), seed=SEED
        )
        for key, row, image in zip(keys, rows, made, strict=True):
            assert np.array_equal(decode_value(row["image"][0], schema), image)
            assert row | {"image": b""} == before[key] | {"image": b""}


def test_every_test_example_has_its_slices(digits, finished):
    slices = Probes.open(finished).slices
    assert list(slices) == list(originals(digits))
    assert {name.split("=")[0] for names in slices.values() for name in names} == {
        "brightness",
        "contrast",
    }


def test_texts(reviews_dataset, tmp_path):
    dataset = Path(reviews_dataset.path)
    policy = parse_policy({"slots": ["confuse_words"]}, "text")
    folder = written(dataset, tmp_path, policy=policy, robustness=Robustness(examples=5))
    probes = Probes.open(folder)
    assert dict(probes.seen) == {"typos": True, "casing": False, "entity_swap": False}
    assert len(probes.variants()) == 15
    assert probes.changed["casing/5"] == 5
    capitals = dict((name, path) for name, _, path in probes.variants())["casing/5"]
    rows = list(map(decode_example, probes.read(capitals)))
    before = originals(dataset)
    assert len(rows) == 5
    for row in rows:
        original = before[row["key"][0].decode()]
        assert row["label"] == original["label"]
        assert row["text"][0].lower() == original["text"][0].lower() != original["text"][0]
    names = {name.split("=")[0] for one in probes.slices.values() for name in one}
    assert names == {"length", "negation", "entities"}


def test_stored_tokens_are_those_of_the_corrupted_text(tmp_path):
    texts = [f"A fine film about number {i}, with Tom Hanks in Paris." for i in range(12)]
    write_tfds(
        tmp_path / "tfds",
        {"train": [text_records(texts)], "test": [text_records(texts[:6])]},
        shape=None,
    )
    recipe = tfds_recipe(
        tmp_path / "tfds",
        modality="text",
        policy={"preset": "none"},
        copies=0,
        text={"store_tokens": True, "tokens": 9, "truncate": "tail"},
    )
    dataset = Path(materialize(make_plan(parsed(recipe), str(tmp_path / "out"))).path)
    policy = parse_policy({"preset": "none"}, "text")
    chosen = Robustness(severities=(5,), families=("entity_swap",))
    probes = Probes.open(written(dataset, tmp_path / "probes", policy=policy, robustness=chosen))
    lines = (dataset / "vocabulary.txt").read_text().split("\n")[:-1]
    ((_, _, path),) = probes.variants()
    rows = list(map(decode_example, probes.read(path)))
    assert len(rows) == 6
    for row in rows:
        text = row["text"][0].decode()
        assert "Hanks" not in text
        ids = token_ids(text, vocabulary_ids(lines), length=9, truncate="tail")
        assert row["tokens"] == ids.tolist()


def test_a_second_call_returns_at_once(digits, tmp_path):
    steps = []
    first = written(digits, tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (80, 80)
    again = written(digits, tmp_path, progress=lambda *_: pytest.fail("written again"))
    assert again == first


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (("copies=0", "slice_size=500", "image.encoding=raw"), True),
        (("copies=0", "splits.test_share=0.3"), False),
    ],
)
def test_a_test_split_stored_otherwise_is_the_same_split(
    digits, finished, tmp_path, overrides, same
):
    other = materialize(make_plan(load_recipe("digits", overrides), str(tmp_path / "data")))
    folder = written(Path(other.path), tmp_path / "probes", robustness=None)
    assert folder.name != finished.name
    assert (Probes.open(folder).test_digest == Probes.open(finished).test_digest) is same


def test_what_decides_the_probes_names_their_folder(digits, finished, tmp_path):
    def of(**changes):
        return written(digits, tmp_path, **changes)

    folders = [
        of(),
        of(seed=8),
        of(policy=NOISY),
        of(robustness=None),
        of(robustness=Robustness(examples=20, severities=(1,), families=FEW.families)),
        of(robustness=Robustness(examples=20, severities=(1, 5), families=("brightness",))),
        of(robustness=Robustness(examples=21, severities=(1, 5), families=FEW.families)),
    ]
    assert len(set(folders)) == len(folders)
    assert folders[0].name == finished.name
    assert contents(folders[0]) == contents(finished)
    assert len({Probes.open(one).test_digest for one in folders}) == 1
    assert dict(Probes.open(folders[2]).seen) == {"gaussian_noise": True, "brightness": False}
    assert Probes.open(folders[3]).variants() == []
    # Another policy that shows the same families leaves the same probes.
    rotating = parse_policy({"slots": ["rotate"]}, "image")
    assert of(policy=rotating) == folders[0]


def test_a_variant_that_changes_no_example_is_none(digits, tmp_path):
    some = Robustness(examples=3, severities=(5,), families=("saturate", "contrast"))
    folder = written(digits, tmp_path, robustness=some)
    probes = Probes.open(folder)
    assert dict(probes.changed) == {"contrast/5": 3, "saturate/5": 0}  # digits are grey
    assert [name for name, _, _ in probes.variants()] == ["contrast/5"]
    assert not list(folder.rglob("saturate*"))


def test_a_second_writer_waits_and_finds_them_finished(digits, finished, tmp_path):
    steps = []

    def write(_):
        return written(digits, tmp_path, progress=lambda done, total: steps.append(done))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(write, range(2))
    assert first == second
    assert contents(first) == contents(finished)
    assert steps == [20, 40, 60, 80]


def test_a_larger_sample_exchanges_no_example():
    keys = [f"test-{i:05d}" for i in range(500)]
    for count in (0, 1, 50, 499):
        assert len(sampled(keys, count)) == count
        assert sampled(keys, count) < sampled(keys[::-1], count + 1)
    assert sampled(keys, 1000) == set(keys)


def test_equal_test_splits_of_other_recipes_have_equal_digests(digits, finished, tmp_path):
    other = tmp_path / "other"
    (other / "Split-test").mkdir(parents=True)
    manifest = json.loads((digits / "manifest.json").read_bytes())
    for shard in manifest["shards"]:
        if shard["split"] == "test":
            shutil.copy(digits / shard["path"], other / shard["path"])
    manifest |= {"name": "other", "digest": "0" * 64}
    manifest["shards"] = [one for one in manifest["shards"] if one["split"] != "train"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    assert contents(written(other, tmp_path / "probes")) == contents(finished)


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.augment.policy import parse_policy
from pipelines.probes.build import write_probes
from schemas.probes import Robustness

def stop(done, total):
    if done == total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

dataset, folder = map(Path, sys.argv[1:])
few = Robustness(examples=20, severities=(1, 5), families=("gaussian_noise", "brightness"))
plain = parse_policy({"preset": "none"}, "image")
write_probes(dataset, folder, policy=plain, seed=7, robustness=few, progress=stop)
"""


def test_a_kill_half_way_leaves_no_folder(digits, finished, tmp_path):
    command = [sys.executable, "-c", KILLED, str(digits), str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    left = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].startswith(".tmp-")
    assert contents(written(digits, tmp_path)) == contents(finished)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [finished.name]


def test_a_disk_that_takes_no_more_is_an_error_that_leaves_nothing(digits, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(FailedError, match="File too large.*Free the disk"):
            written(digits, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_an_interruption_leaves_nothing(digits, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(digits, tmp_path, progress=stop)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def read_all(folder):
    probes = Probes.open(folder)
    return probes.slices, [probes.read(path) for _, _, path in probes.variants()]


def test_a_flipped_byte_is_named_in_every_file(finished, copied):
    for name, content in contents(finished).items():
        path = copied / name
        for place in (0, len(content) // 2, len(content) - 2):
            flipped = bytearray(content)
            flipped[place] ^= 1
            path.write_bytes(flipped)
            with pytest.raises(FailedError, match=f"{name}: .*Remove the folder"):
                read_all(copied)
        path.unlink()
        with pytest.raises(FailedError, match=f"{name}: .*Remove the folder"):
            read_all(copied)
        path.write_bytes(content)
    read_all(copied)


def test_damaged_probes_are_written_again(digits, finished, copied):
    path = copied / "Split-test" / "brightness-5.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    assert contents(written(digits, copied.parent)) == contents(finished)
    assert [one.name for one in copied.parent.iterdir() if one.is_dir()] == [finished.name]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "[" * 100_000, '{"content_digest": 1}', "\xff"],
    ids=["empty", "list", "bare", "null", "deep", "wrong digest", "no UTF-8"],
)
def test_what_is_no_list_of_probes_is_refused(copied, text):
    (copied / settings.PROBES).write_text(text, "latin-1")
    with pytest.raises(FailedError, match=r"probes\.json"):
        Probes.open(copied)


def test_a_file_of_elsewhere_is_not_read(finished, tmp_path):
    (tmp_path / "more.tfrecord").write_bytes(b"")
    for path in (tmp_path / "more.tfrecord", finished / ".." / "more.tfrecord"):
        with pytest.raises(FailedError, match="no file of the probes"):
            Probes.open(finished).read(path)


def test_a_damaged_dataset_is_named(digits, tmp_path):
    broken = Path(shutil.copytree(digits, tmp_path / "broken"))
    path = next((broken / "Split-test").glob("copy00-*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{path.name}: it changed.*verify"):
        written(broken, tmp_path / "probes")
    path.unlink()
    with pytest.raises(InputError, match=f"{path.name}: cannot be read.*verify"):
        written(broken, tmp_path / "probes")
    manifest = json.loads((broken / "manifest.json").read_bytes())
    manifest["shards"] = [one for one in manifest["shards"] if one["split"] != "test"]
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="holds no examples"):
        written(broken, tmp_path / "probes")


def test_families_are_checked_before_anything_runs(digits, tmp_path):
    assert check_probes(FEW, "image") == {}
    typos = Robustness(families=("typos",))
    with pytest.raises(InputError, match="the examples are images"):
        check_probes(typos, "image")
    with pytest.raises(InputError, match="the examples are images"):
        written(digits, tmp_path, robustness=typos)
    assert list(tmp_path.iterdir()) == []
