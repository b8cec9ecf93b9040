"""What would keep a refresh from pushing is said before it trains."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from components.serving.baseline import find_baseline
from components.serving.ready import check_live, check_ready, check_signed
from components.serving.signing import SigningKey
from schemas.errors import InputError
from schemas.gates import AgainstLive
from tests.serving.support import everything, forked, push_text

pytest.importorskip("model_signing")

from tests.serving.test_signatures import keys  # noqa: E402, F401 - a fixture

NAMES = ("KEY", "PASSWORD", "CERTIFICATE", "CHAIN")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """The environment of a cron job."""
    for name in (*(f"SIGNING_{one}" for one in NAMES), "SIGSTORE", "PUBLIC_KEY"):
        monkeypatch.delenv(f"BEAM_REFINERY_{name}", raising=False)


def test_a_new_place_is_fine_and_nothing_is_written(tmp_path):
    check_ready(tmp_path / "root" / "digits-full" / "serving")
    assert not list(tmp_path.iterdir())
    (tmp_path / "root").write_text("")
    check_ready(tmp_path / "root" / "digits-full" / "serving")  # whoever holds the root says so


@pytest.mark.parametrize("place", ["", "serving", "serving/.promotions"])
def test_a_place_that_is_no_folder(tmp_path, place):
    path = tmp_path / "digits" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with pytest.raises(InputError, match=f"^{path} must be a folder, .* another --root"):
        check_ready(tmp_path / "digits" / "serving")
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(InputError, match=f"^{path} must be a folder"):
        check_ready(tmp_path / "digits" / "serving")


@pytest.mark.parametrize("name", ["CURRENT", ".push.lock"])
def test_a_folder_where_a_file_should_be(tmp_path, name):
    (tmp_path / "serving" / name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"{name} must be a file, and is none"):
        check_ready(tmp_path / "serving")


@pytest.mark.parametrize("place", ["", "serving"])
def test_a_folder_that_may_not_be_written(place):
    folder = Path(tempfile.mkdtemp())  # others may not look into pytest's
    folder.chmod(0o755)
    (folder / "digits" / place).mkdir(parents=True)
    (folder / "digits").chmod(0o777)
    (folder / "digits" / place).chmod(0o555)

    def as_somebody():
        if os.getuid() == 0:
            os.setuid(65534)
        with pytest.raises(InputError, match=f"digits/?{place} must be writable, .*Permission denied"):
            check_ready(folder / "digits" / "serving")

    try:
        assert forked(as_somebody) == 0
    finally:
        (folder / "digits" / place).chmod(0o755)
        shutil.rmtree(folder)


def test_no_unsigned_model_follows_a_signed_one_unsaid(tmp_path, keys, monkeypatch):  # noqa: F811
    push_text(tmp_path, "first", key=SigningKey(key=keys[0][0]))
    serving = tmp_path / "serving"
    before = everything(serving)
    with pytest.raises(
        InputError, match="version 1 is live and signed, .*: set BEAM_REFINERY_SIGNING_KEY .*--unsi"
    ):
        check_ready(serving)
    check_ready(serving, unsigned=True)
    assert everything(serving) == before
    (serving / ".promotions" / "1" / "model.sig").unlink()
    with pytest.raises(InputError, match="version 1 is live and signed"):
        check_ready(serving)
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(keys[0][0]))
    check_ready(serving)
    with pytest.raises(InputError, match="unset BEAM_REFINERY_SIGNING_KEY, or leave out --unsig"):
        check_ready(serving, unsigned=True)


def test_whoever_names_a_public_key_wants_signatures_it_takes(tmp_path, keys, monkeypatch):  # noqa: F811
    push_text(tmp_path, "first")
    serving = tmp_path / "serving"
    check_ready(serving)
    monkeypatch.setenv("BEAM_REFINERY_PUBLIC_KEY", str(keys[0][1]))
    with pytest.raises(InputError, match="BEAM_REFINERY_PUBLIC_KEY is set, .*: set BEAM_REFINERY_"):
        check_ready(serving)
    check_ready(serving, unsigned=True)
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(keys[1][0]))
    with pytest.raises(InputError, match="signing key does not belong to --public-key .or BEAM_"):
        check_ready(serving)
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(keys[0][0]))
    check_ready(serving)


def test_a_pointer_to_nothing_is_a_live_model_that_is_missing(tmp_path):
    serving = tmp_path / "serving"
    serving.mkdir()
    (serving / "CURRENT").write_text("7\n")
    found = find_baseline(serving)
    assert (found.state, found.version) == ("missing", 7)
    assert "names no readable version: version 7 is not there" in found.why
    check_signed(serving, 7)
    rule = AgainstLive(tolerated_loss=0.01)
    with pytest.raises(InputError, match="version 7 is not there.* remove .*on_missing: floors"):
        check_live(found, rule)
    for against in (None, AgainstLive(tolerated_loss=0.01, on_missing="floors")):
        check_live(found, against)
    assert push_text(tmp_path, "first", instead_of=found.version).version == 8
    assert not push_text(tmp_path, "first", instead_of=8).pushed
    check_live(find_baseline(serving), rule)
