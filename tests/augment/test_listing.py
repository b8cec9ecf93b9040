import pytest

from pipelines.augment import listing, registry
from pipelines.augment.presets import PRESETS
from schemas.errors import InputError
from tests.golden import RENEW, ops_table


def test_the_documented_tables_are_fresh():
    assert ops_table.PATH.read_text("utf-8") == ops_table.compute(), RENEW


def test_every_op_and_preset_has_a_row():
    ops, presets = listing.ops_table(), listing.presets_table()
    for name in registry.names():
        assert f"| `{name}` |" in ops
    for modality in PRESETS:
        for name in PRESETS[modality]:
            assert f"| {modality} | `{name}` |" in presets
    assert "`degrees: 20`, `fill: nearest`" in ops
    assert (
        "| image | `randaugment` | `n: 2`, `m: 9`, `fill: constant`, `fill_value: 128` |" in presets
    )


def test_missing_markers_are_named():
    with pytest.raises(InputError, match="no table of presets"):
        listing.updated("<!-- ops -->\n<!-- /ops -->\n")


def test_there_are_enough_ops():
    assert len(registry.names("image")) >= 45
