"""Teachers that answer from disk: the stage kinds that store answers, and the list of them.

Teacher signals are what a teacher says about every stored training example: its logits, and the
attention maps of some of its layers. They lie in one file per dataset shard, beside a manifest
(`SIGNALS`) that is written last and names the teacher and the dataset they belong to.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from schemas.canonical import digest
from schemas.errors import InputError
from schemas.validation import validated

SIGNALS = "signals.json"
SIGNALS_VERSION = 1
_STRICT = ConfigDict(extra="forbid")
Positive = Annotated[int, Field(gt=0)]
MapPrecision = Literal["none", "float16", "uint8"]


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class SignalsConfig:
    """Store a teacher's answers once, for later stages to learn from without it.

    ``maps`` says how its attention maps are stored, which only a student with ``attention`` needs:
    ``none``, ``float16``, or ``uint8`` (half the bytes; the manifest states the error of both).
    ``layers`` names the layers they are taken from; without it, the last feature map of each size.
    ``copies`` counts the stored copies that are scored, the original included (``None``: all).
    """

    BASE: ClassVar[str] = "none"
    TEACHER: ClassVar[str] = "required"
    maps: MapPrecision = "none"
    layers: tuple[str, ...] = ()
    copies: Positive | None = None


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class NgramConfig:
    """Teach from words and word pairs weighted by naive Bayes; it stores answers, no network.

    Logistic regression over n-grams of up to ``ngrams`` words (present or not) that at least
    ``minimum`` training documents hold. Each document is scored by a model that saw neither it nor
    any copy of it: one model for each of ``folds``. ``smoothing`` is what naive Bayes adds to every
    count, ``strength`` the inverse of the regularisation (scikit-learn's ``C``).
    """

    BASE: ClassVar[str] = "none"
    TEACHER: ClassVar[str] = "none"
    ngrams: Annotated[int, Field(ge=1, le=3)] = 2
    minimum: Positive = 2
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    smoothing: Annotated[float, Field(gt=0)] = 1.0
    strength: Annotated[float, Field(gt=0)] = 1.0
    copies: Positive | None = None


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class MapInfo:
    """Attention maps of one layer.

    Attributes:
        layer: Its name in the teacher.
        size: Positions along each axis, e.g. height and width.
        error: Largest difference of a stored value from the exact one; maps have length 1 (L2).
    """

    layer: str
    size: tuple[int, ...]
    error: float


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class SignalShard:
    """One file of signals, for one shard of the dataset, in that shard's order.

    Attributes:
        path: Relative to the signals' folder.
        source: The shard's path in the dataset.
        copy: The copy it holds.
        examples: Number of examples.
        bytes: File size.
        sha256: Digest of the file.
    """

    path: str
    source: str
    copy: int
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, config=_STRICT, kw_only=True)
class SignalsManifest:
    """What a folder of signals holds, and whose they are.

    Attributes:
        teacher: Digest of the teacher.
        dataset: Digest of the dataset.
        classes: Names of the classes, in the order of the logits.
        maps: Layers whose attention maps are stored.
        precision: How maps are stored.
        shards: Every file.
    """

    teacher: str
    dataset: str
    classes: tuple[str, ...]
    maps: tuple[MapInfo, ...]
    precision: MapPrecision
    shards: tuple[SignalShard, ...]
    format_version: int = SIGNALS_VERSION

    @property
    def digest(self) -> str:
        """One SHA-256 over all of it, the files' digests included."""
        return digest(asdict(self))

    def to_json(self) -> str:
        """Return the manifest as indented JSON with sorted keys."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def load_signals_manifest(folder: str | Path) -> SignalsManifest:
    """Read the manifest of a folder of signals.

    Raises:
        InputError: There is none (so no finished signals), or it is not readable.
    """
    path = Path(folder) / SIGNALS
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        version = value["format_version"]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: no {SIGNALS}, so no finished teacher signals; store them again (what is "
            "there is taken over), or name the folder that holds it."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a list of teacher signals ({error}).") from error
    if version != SIGNALS_VERSION:
        raise InputError(
            f"{path}: format version {version!r}; this program reads {SIGNALS_VERSION}. Store the "
            "signals again."
        )
    try:
        return validated(SignalsManifest, value)
    except InputError as error:
        raise InputError(f"{path}: {error} Store the signals again.") from error
