"""Teacher signals with Beam: the same bytes as from one process, and errors people can read."""

import pytest

from components.data import open_dataset
from components.models import model_digest
from components.signal_store import store_signals as store_alone
from components.stages import load_model, run_stage
from pipelines.signals import store_signals
from schemas.errors import InputError
from schemas.teaching import SIGNALS, SignalsConfig

CONFIG = SignalsConfig(maps="uint8")


@pytest.fixture(scope="module")
def teacher(digits_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "teacher"
    config = {"model": {"family": "image_resnet", "width": 4}, "epochs": 0}
    run_stage("train", dataset=digits_dir, config=config, output=output, seed=3)
    return output


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_as_from_one_process_and_what_is_finished_is_kept(
    digits_dir, teacher, tmp_path
):
    network = load_model(teacher)
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    data = open_dataset(digits_dir)
    manifest = store_alone(network, data, alone, CONFIG, teacher=model_digest(network))
    first = manifest.shards[0].path
    (spread / first).parent.mkdir(parents=True)
    (spread / first).write_bytes((alone / first).read_bytes())
    before = (spread / first).stat().st_mtime_ns

    assert store_signals(digits_dir, teacher, spread, CONFIG) == manifest
    assert files(spread) == files(alone)
    assert (spread / first).stat().st_mtime_ns == before
    assert sorted(files(spread)) == sorted([SIGNALS, *(one.path for one in manifest.shards)])


def test_refusals_come_before_and_out_of_beam(digits_dir, teacher, tmp_path):
    def refused(match, config=CONFIG, flags=()):
        with pytest.raises(InputError, match=match):
            store_signals(digits_dir, teacher, tmp_path, config, flags)

    refused("feature map of the teacher 'stm'", SignalsConfig(maps="uint8", layers=("stm",)))
    refused("knows '--no_such_flag", flags=["--no_such_flag=1"])
    with pytest.raises(InputError, match="model directory holds"):
        store_signals(digits_dir, tmp_path, tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []
