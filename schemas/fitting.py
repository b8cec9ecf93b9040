"""What the settings of all stages are made of: options of networks, fitting, being taught."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import InitErrorDetails, PydanticCustomError

STRICT = ConfigDict(extra="forbid")

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ImageModel:
    """Residual network on a 4x4 stride-2 stem: widths ``width``, ``2*width``, ``4*width``.

    ``preprocessing`` is done inside the network, so that it is served with it: ``standardize``
    subtracts each channel's mean over the training split and divides by its deviation (both of
    ``survey.json``), ``normalize`` divides by 255.
    """

    family: Literal["image_resnet"] = "image_resnet"
    width: Positive = 32
    blocks: Positive = 1
    preprocessing: Literal["standardize", "normalize"] = "standardize"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TextModel:
    """Average of word embeddings, with hashed bigrams where ``bigrams`` counts buckets.

    ``vocabulary`` counts the kept lines of ``vocabulary.txt`` (``<OOV>`` included), ``tokens``
    the words of a document that are read: its first (``truncate: head``) or its last (``tail``).
    ``pad`` is the side on which a shorter document is filled up. They mean what they mean in a
    recipe's ``text:`` section: set alike, and with the whole vocabulary, the model reads the very
    ids that ``store_tokens`` stores.
    """

    family: Literal["text_embedding"] = "text_embedding"
    width: Positive = 16
    vocabulary: Annotated[int, Field(ge=2)] = 10_000
    bigrams: Annotated[int, Field(ge=0)] = 0
    tokens: Positive = 400
    truncate: Literal["head", "tail"] = "head"
    pad: Literal["left", "right"] = "right"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TextConvModel:
    """Convolutions over word embeddings, and the strongest answer of each filter in the text.

    ``layers`` convolutions with ``filters`` each look at ``kernel`` neighbouring words. The other
    options mean what they mean in a ``text_embedding`` model.
    """

    family: Literal["text_conv"] = "text_conv"
    width: Positive = 16
    filters: Positive = 32
    kernel: Positive = 3
    layers: Annotated[int, Field(ge=1, le=2)] = 1
    vocabulary: Annotated[int, Field(ge=2)] = 10_000
    tokens: Positive = 400
    truncate: Literal["head", "tail"] = "head"
    pad: Literal["left", "right"] = "right"


MODEL_FAMILIES = {
    "image_resnet": ImageModel,
    "text_embedding": TextModel,
    "text_conv": TextConvModel,
}
TEXT_FAMILIES = ("text_embedding", "text_conv")
ModelOptions = Annotated[ImageModel | TextModel | TextConvModel, Field(discriminator="family")]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Fitting:
    """How any stage walks over the training split.

    ``copies`` counts the stored copies cycled through, the original included (epoch ``e`` reads
    copy ``e % copies``; ``None``: all of them). ``examples`` limits the examples of an epoch.
    ``learning_rate`` is the peak of a triangular schedule. ``BASE`` and ``TEACHER`` say whether a
    stage of that kind takes one: ``none``, ``optional`` or ``required``.
    """

    BASE: ClassVar[str] = "none"
    TEACHER: ClassVar[str] = "none"
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 5
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.15
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    copies: Positive | None = None
    examples: Positive | None = None


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Teachable(Fitting):
    """How a stage that may have a teacher learns from it.

    Loss: ``alpha * T^2 * KL(teacher/T || student/T) + (1 - alpha) * cross-entropy``, and with
    ``attention`` above 0 that many times half the squared distance between the attention maps of
    both, summed over pairs of layers. ``attention_layers`` names the pairs, the teacher's layer
    first; without it the last feature maps of each size that both networks have are compared.
    """

    temperature: Annotated[float, Field(gt=0)] = 4.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    attention: Annotated[float, Field(ge=0)] = 0.0
    attention_layers: tuple[tuple[str, str], ...] = ()


def located(loc: tuple[str | int, ...], text: str) -> ValidationError:
    """Return an error at the place ``loc`` of the settings that are validated."""
    detail = InitErrorDetails(
        type=PydanticCustomError("refresh", "{text}", {"text": text}), loc=loc, input=None
    )
    return ValidationError.from_exception_data("refresh", [detail])
