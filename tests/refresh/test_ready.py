"""What a refresh could not push, or nobody would trust, is refused before it trains."""

import pytest

import beam_runner
from components.serving.signing import SigningKey
from schemas.errors import InputError
from tests.refresh.support import Watch, refresh
from tests.serving.support import everything, push_text

GATES = {
    "floors": {"accuracy": 0.05},
    "ceilings": {"bytes": 10_000_000},
    "against_live": {"tolerated_loss": 0.5},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of the recipe below a root; the environment is that of a cron job."""
    for name in ("SIGNING_KEY", "SIGNING_CERTIFICATE", "SIGNING_CHAIN", "SIGSTORE", "PUBLIC_KEY"):
        monkeypatch.delenv(f"BEAM_REFINERY_{name}", raising=False)
    (tmp_path / "root" / "digits-smoke").mkdir(parents=True)
    return tmp_path / "root" / "digits-smoke"


def refused(dataset, place, message, **settings):
    watch = Watch()
    with pytest.raises(InputError, match=message):
        refresh(dataset, place.parent, watch, **settings)
    assert "teacher" not in watch.states


def test_a_file_in_place_of_the_serving_folder(dataset, place):
    (place / "serving").write_text("")
    refused(dataset, place, "serving must be a folder, .* choose another --root")
    assert list(place.iterdir()) == [place / "serving"]


def test_a_pointer_to_a_version_that_is_not_there(dataset, place):
    (place / "serving").mkdir()
    (place / "serving" / "CURRENT").write_text("7\n")
    refused(dataset, place, "version 7 is not there.*on_missing: floors", gates=GATES)


@pytest.fixture
def signed(place):
    """A serving folder whose only version is signed, and the key."""
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.serving.test_signatures import write_key

    key, _ = write_key(place / "release.pem", ec.generate_private_key(ec.SECP256R1()))
    push_text(place, "first", key=SigningKey(key=key))
    return place / "serving", key


def test_no_key_where_the_live_version_is_signed(dataset, signed, capsys):
    serving, _ = signed
    before = everything(serving)
    refused(
        dataset, serving.parent, "version 1 is live and signed, .*set BEAM_REFINERY_SIGNING_KEY"
    )
    root, output = serving.parent.parent, serving.parent / "data"
    command = ["refresh", "digits", "--profile", "smoke", "--root", str(root)]
    assert beam_runner.main([*command, "--output", str(output)]) == 2
    assert "version 1 is live and signed" in capsys.readouterr().err
    assert not output.exists(), "no dataset is made either"
    assert everything(serving) == before


def test_a_signed_version_that_a_crash_kept_from_going_live_counts(dataset, signed):
    serving, key = signed
    history = serving / ".promotions" / "history.jsonl"
    push_text(serving.parent, "second")
    kept = history.read_bytes()
    push_text(serving.parent, "third", key=SigningKey(key=key))
    history.write_bytes(kept)
    (serving / "CURRENT").write_text("2\n")
    refused(dataset, serving.parent, "version 3 is live and signed")


@pytest.mark.full
def test_a_pointer_to_nothing_ends_with_a_push_where_the_rule_leaves_it_to_the_floors(
    dataset, place
):
    (place / "serving").mkdir()
    (place / "serving" / "CURRENT").write_text("7\n")
    outcome = refresh(dataset, place.parent)
    assert outcome.status == "refused", outcome.report.reasons
    assert "version 7 is not there" in outcome.report.reasons[0]
    outcome = refresh(dataset, place.parent, data={"on_missing": "pass"})
    assert (outcome.status, outcome.report.push.version) == ("pushed", 8)
    assert refresh(dataset, place.parent).status == "nothing_new"
