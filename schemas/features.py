"""ExampleSchema: the one description of a stored example, in three notations.

From it come the `tf.train.Example` fields, the Arrow schema of the provenance table's fixed part
and the TF Metadata schema (`.pbtxt`) that data validation enforces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from schemas.errors import InputError

if TYPE_CHECKING:
    import pyarrow

Modality = Literal["image", "text"]


@dataclass(frozen=True, kw_only=True)
class ExampleSchema:
    """What one stored example holds.

    Fields of the Example: ``key`` bytes (stable identity of the original), ``copy`` int64 (0 is
    the untouched original), ``label`` int64 (index into ``label_names``: that of the original), and
    ``image`` bytes or ``text`` bytes (UTF-8). Where examples are mixed with others, ``soft_label``
    float32 holds the share of every class; where classes are weighted, ``weight`` float32 the
    example's weight in a loss; where tokens are stored, ``tokens`` int64 the ids of the text.

    Attributes:
        modality: ``image`` or ``text``.
        label_names: Class names; their order defines the label.
        encoding: ``png``, ``raw`` (uint8, height x width x channel) or ``utf8``.
        image_shape: (height, width, channels) of every image; None for text.
        soft_labels: Whether every example has a ``soft_label``.
        weights: Whether every example has a ``weight``.
        tokens: Length of ``tokens``; 0 where they are not stored.
    """

    modality: Modality
    label_names: tuple[str, ...]
    encoding: Literal["png", "raw", "utf8"]
    image_shape: tuple[int, int, int] | None = None
    soft_labels: bool = False
    weights: bool = False
    tokens: int = 0

    def __post_init__(self) -> None:
        """Check that the parts agree."""
        if (self.modality == "image") != (self.image_shape is not None):
            raise InputError(f"an image schema has an image shape, a text schema none: {self}.")
        if (self.modality == "text") != (self.encoding == "utf8"):
            raise InputError(f"text is stored as utf8, images as png or raw: {self}.")
        if len(self.label_names) < 2 or len(set(self.label_names)) != len(self.label_names):
            raise InputError(
                f"a classification dataset needs at least two distinct label names, "
                f"got {list(self.label_names)}."
            )

    @property
    def feature(self) -> str:
        """Name of the input field: ``image`` or ``text``."""
        return self.modality

    @property
    def file_suffix(self) -> str:
        """Suffix of the shard files: text is gzipped, images are not (it would save 3 %)."""
        return ".tfrecord.gz" if self.modality == "text" else ".tfrecord"

    def to_json(self) -> dict[str, Any]:
        """Return the schema as plain JSON values."""
        # Named only where they are set: they came later, and fingerprints of other datasets stay.
        later = {"soft_labels": self.soft_labels, "weights": self.weights, "tokens": self.tokens}
        return {
            "modality": self.modality,
            "label_names": list(self.label_names),
            "encoding": self.encoding,
            "image_shape": list(self.image_shape) if self.image_shape else None,
        } | {name: value for name, value in later.items() if value}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ExampleSchema:
        """Read what `to_json` wrote."""
        shape = value["image_shape"]
        return cls(
            modality=value["modality"],
            label_names=tuple(value["label_names"]),
            encoding=value["encoding"],
            image_shape=tuple(shape) if shape else None,
            soft_labels=value.get("soft_labels", False),
            weights=value.get("weights", False),
            tokens=value.get("tokens", 0),
        )

    def arrow_schema(self) -> pyarrow.Schema:
        """Return the fixed columns of the provenance table; the policy's columns follow them."""
        import pyarrow as pa

        return pa.schema(
            [
                ("key", pa.string()),
                ("source_split", pa.string()),
                ("source_index", pa.int64()),
                ("split", pa.string()),
                ("copy", pa.int32()),
                ("label", pa.int64()),
                ("shard", pa.string()),
                ("record", pa.int64()),
                ("offset", pa.int64()),
            ]
        )

    def pbtxt(self) -> str:
        """Return the TF Metadata schema in text form: every field present, one value each.

        ``soft_label`` alone has as many values as there are classes, ``tokens`` a fixed length.
        """
        last_label = len(self.label_names) - 1
        image_domain = "  image_domain {\n    minimum_supported_image_fraction: 1.0\n  }\n"
        blocks = [
            _feature("key", "BYTES"),
            _feature("copy", "INT", "  int_domain {\n    min: 0\n    is_categorical: false\n  }\n"),
            _feature(
                "label",
                "INT",
                f"  int_domain {{\n    min: 0\n    max: {last_label}\n"
                "    is_categorical: true\n  }\n",
            ),
            _feature(self.feature, "BYTES", image_domain if self.encoding == "png" else ""),
        ]
        if self.soft_labels:
            shares = "  float_domain {\n    min: 0.0\n    max: 1.0\n  }\n"
            blocks.append(_feature("soft_label", "FLOAT", shares, size=len(self.label_names)))
        if self.weights:
            domain = "  float_domain {\n    min: 0.0\n  }\n"
            blocks.append(_feature("weight", "FLOAT", domain))
        if self.tokens:
            domain = "  int_domain {\n    min: 0\n    is_categorical: false\n  }\n"
            blocks.append(_feature("tokens", "INT", domain, size=self.tokens))
        return "".join(blocks)


def _feature(name: str, kind: str, domain: str = "", *, size: int = 1) -> str:
    return (
        f'feature {{\n  name: "{name}"\n  type: {kind}\n{domain}'
        "  presence {\n    min_fraction: 1.0\n    min_count: 1\n  }\n"
        f"  shape {{\n    dim {{\n      size: {size}\n    }}\n  }}\n}}\n"
    )
