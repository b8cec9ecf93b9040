"""ExampleSchema: its three notations agree; the shipped .pbtxt files are fresh."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.recipe import shipped
from tests.golden import RENEW
from tests.golden import pbtxt as golden_pbtxt

IMAGE = ExampleSchema(
    modality="image", label_names=("cat", "dog", "bird"), encoding="png", image_shape=(8, 6, 3)
)
RAW = ExampleSchema(
    modality="image", label_names=("no", "yes"), encoding="raw", image_shape=(2, 2, 1)
)
TEXT = ExampleSchema(modality="text", label_names=("bad", "good"), encoding="utf8")
SOFT = replace(IMAGE, soft_labels=True)


@pytest.mark.parametrize("schema", [IMAGE, RAW, TEXT, SOFT])
def test_json_round_trip(schema):
    assert ExampleSchema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize("schema", [IMAGE, RAW, TEXT])
def test_pbtxt_is_a_tensorflow_metadata_schema(schema):
    schema_pb2 = pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2")
    from google.protobuf import text_format

    parsed = text_format.Parse(schema.pbtxt(), schema_pb2.Schema())
    features = {feature.name: feature for feature in parsed.feature}
    assert set(features) == {"key", "copy", "label", schema.modality}
    kinds = {name: schema_pb2.FeatureType.Name(one.type) for name, one in features.items()}
    assert kinds == {"key": "BYTES", "copy": "INT", "label": "INT", schema.modality: "BYTES"}
    for feature in parsed.feature:
        assert (feature.presence.min_fraction, feature.presence.min_count) == (1.0, 1)
        assert [dim.size for dim in feature.shape.dim] == [1]
    assert features["label"].int_domain.min == 0
    assert features["label"].int_domain.max == len(schema.label_names) - 1
    assert features["copy"].int_domain.min == 0
    assert features[schema.modality].HasField("image_domain") == (schema.encoding == "png")


def test_soft_labels_are_one_share_per_class_and_else_not_mentioned():
    schema_pb2 = pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2")
    from google.protobuf import text_format

    feature = text_format.Parse(SOFT.pbtxt(), schema_pb2.Schema()).feature[-1]
    assert (feature.name, feature.shape.dim[0].size) == ("soft_label", 3)
    assert schema_pb2.FeatureType.Name(feature.type) == "FLOAT"
    assert (feature.float_domain.min, feature.float_domain.max) == (0.0, 1.0)
    assert SOFT.pbtxt().startswith(IMAGE.pbtxt())
    assert SOFT.to_json() == IMAGE.to_json() | {"soft_labels": True}
    assert "soft_labels" not in IMAGE.to_json()


def test_arrow_schema_is_the_fixed_part_of_the_provenance():
    columns = IMAGE.arrow_schema()
    assert columns.names[:3] == ["key", "source_split", "source_index"]
    assert columns.field("label").type == pa.int64()
    assert TEXT.arrow_schema() == columns


@pytest.mark.parametrize(
    "change",
    [
        {"image_shape": None},
        {"modality": "text"},
        {"encoding": "utf8"},
        {"label_names": ("cat",)},
        {"label_names": ("cat", "cat")},
    ],
)
def test_parts_must_agree(change):
    fields = {"modality": "image", "label_names": ("a", "b"), "encoding": "png"}
    with pytest.raises(InputError):
        ExampleSchema(**(fields | {"image_shape": (1, 1, 3)} | change))


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_pbtxt_is_fresh(name):
    path = Path(golden_pbtxt.FOLDER) / f"{name}.pbtxt"
    assert path.is_file(), RENEW
    assert path.read_text("utf-8") == golden_pbtxt.compute()[name], RENEW
