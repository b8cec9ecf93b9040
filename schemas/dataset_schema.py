"""The schema of a user's own data: a TF Metadata schema (``.pbtxt``) that people edit.

It says which classes there are, in the order of their numbers, and how long a text may be. It is
inferred once, lies beside the recipe, and is enforced from then on. What TensorFlow Data
Validation knows beyond that (drift comparators, distribution constraints, environments) is kept
and reaches the schema of the stored examples.

The classes are the values of the string domain of the feature ``label``; the limits of a text, in
characters, are the domain ``int_domain { name: "text_length" }`` of the whole schema, for TF
Metadata has no field for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import InputError, unknown_name
from schemas.features import ExampleSchema, Modality

SCHEMA_FILE = "schema.pbtxt"
"""Name of the stored examples' schema in a dataset folder."""

LABEL = "label"
TEXT_LENGTH = "text_length"


@dataclass(frozen=True, kw_only=True)
class DatasetSchema:
    """What a schema file says about a source.

    Attributes:
        label_names: Class names; their order defines the label.
        shortest: Fewest characters of a text; None for no limit.
        longest: Most characters of a text; None for no limit.
        text: The schema in text form, as it was written.
        origin: Where it was written, for messages.
    """

    label_names: tuple[str, ...]
    shortest: int | None
    longest: int | None
    text: str
    origin: str

    def stored_pbtxt(self, stored: ExampleSchema) -> str:
        """Return the schema of the stored examples, with all that was written about them here.

        Types, shapes and the label's numbers come from ``stored``; domains, presence, comparators
        and whatever else TF Metadata knows from this schema. Comments and the order of the
        features do not count. Read again, the result says the same about the source.

        Raises:
            InputError: The schema names a feature that the examples do not have.
        """
        message = _parsed(self.text, self.origin)
        written = {feature.name: feature for feature in message.feature}
        result = _schema_class()()
        result.CopyFrom(message)
        del result.feature[:]
        features = list(_parsed(stored.pbtxt(), "the stored examples").feature)
        unknown = sorted(written.keys() - {feature.name for feature in features})
        if unknown:
            names = [feature.name for feature in features]
            raise InputError(
                f"{self.origin}: {unknown_name('feature', unknown[0], names)} "
                "Remove what the examples of this recipe do not have.",
                path=("schema",),
            )
        for feature in features:
            merged = result.feature.add()
            merged.CopyFrom(written.get(feature.name, feature))
            merged.type = feature.type
            merged.shape.CopyFrom(feature.shape)
            if feature.name == LABEL or merged.WhichOneof("domain_info") is None:
                _copy_domain(feature, merged)
        others = [one for one in result.string_domain if one.name != LABEL]
        del result.string_domain[:]
        result.string_domain.extend(others)
        result.string_domain.add(name=LABEL, value=self.label_names)
        return _written(result)


def infer(
    modality: Modality, label_names: Sequence[str], comments: Sequence[str], origin: str
) -> DatasetSchema:
    """Return the schema of a source as it is today.

    Args:
        modality: Decides the name of the input feature.
        label_names: Class names in label order.
        comments: Lines put before it.
        origin: Where it will be written.
    """
    message = _schema_class()()
    for name in (LABEL, modality):
        feature = message.feature.add(name=name, type="BYTES")
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.shape.dim.add(size=1)
    message.feature[0].domain = LABEL
    message.string_domain.add(name=LABEL, value=label_names)
    if modality == "text":
        message.int_domain.add(name=TEXT_LENGTH, min=1)
    text = "".join(f"# {line}\n" for line in comments) + _written(message)
    return parse(text, origin)


def parse(text: str | bytes, origin: str) -> DatasetSchema:
    """Read a schema file.

    Args:
        text: Its content.
        origin: Its path, for messages.

    Raises:
        InputError: Not a TF Metadata schema in text form, or without usable classes or limits.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise _wrong(origin, f"not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    message = _parsed(text, origin)
    names = _label_names(message, origin)
    if len(names) < 2 or len(set(names)) != len(names) or not all(names):
        raise _wrong(
            origin,
            f"the string_domain {LABEL!r} must list two or more class names, none twice and none "
            f"empty; it lists {names!r:.200}.",
        )
    shortest, longest = _text_limits(message, origin)
    return DatasetSchema(
        label_names=names, shortest=shortest, longest=longest, text=text, origin=origin
    )


def _label_names(message: Any, origin: str) -> tuple[str, ...]:
    label = next((one for one in message.feature if one.name == LABEL), None)
    if label is None:
        names = [one.name for one in message.feature]
        raise _wrong(origin, f"it has no feature {LABEL!r}, only {names}; add it.")
    if label.WhichOneof("domain_info") == "string_domain":
        return tuple(label.string_domain.value)
    wanted = label.domain or LABEL
    for domain in message.string_domain:
        if domain.name == wanted:
            return tuple(domain.value)
    names = [one.name for one in message.string_domain]
    raise _wrong(origin, unknown_name("string_domain", wanted, names) + " It lists the classes.")


def _text_limits(message: Any, origin: str) -> tuple[int | None, int | None]:
    for domain in message.int_domain:
        if domain.name == TEXT_LENGTH:
            shortest = domain.min if domain.HasField("min") else None
            longest = domain.max if domain.HasField("max") else None
            if longest is not None and longest < max(shortest or 0, 1):
                raise _wrong(
                    origin,
                    f"{TEXT_LENGTH} allows no text: min {shortest}, max {longest} characters.",
                )
            return shortest, longest
    return None, None


def _copy_domain(source: Any, target: Any) -> None:
    """Give a feature the domain of another, or none where that has none."""
    current, kind = target.WhichOneof("domain_info"), source.WhichOneof("domain_info")
    if current is not None:
        target.ClearField(current)
    if kind is not None:
        getattr(target, kind).CopyFrom(getattr(source, kind))


def _parsed(text: str, origin: str) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, _schema_class()())
    except text_format.ParseError as error:
        line = error.GetLine()
        where = f"{origin}:{line}" if line else origin
        reason = str(error).split(" : ", 1)[-1].rstrip(".")
        raise _wrong(where, f"not a TF Metadata schema in text form ({reason}).") from error


def _written(message: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(message, as_utf8=True))


def _schema_class() -> Any:
    from tensorflow_metadata.proto.v0 import schema_pb2  # type: ignore[import-untyped]

    return schema_pb2.Schema


def _wrong(origin: str, message: str) -> InputError:
    return InputError(f"{origin}: {message}", path=("schema",))
