"""The sentiment guard: no augmented text may say the opposite of its label.

For recipes with polarity labels. A text whose words have become less positive (label ``positive``)
or more positive (``negative``) than the original's by more than ``margin`` is drawn again, at most
``redraws`` times; if none is acceptable, the original is kept, and both are counted in the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.text.polarity import LEXICONS, lexicon, polarity
from schemas.errors import InputError, unknown_name

Trace = dict[str, NDArray[Any]]
Attempt = Callable[[NDArray[np.intp], Draws], tuple[list[str], Trace]]
"""From rows and generators of all rows to the augmented texts of these rows, and their trace."""

COLUMNS = ("guard.redraws", "guard.kept_original")


@dataclass(frozen=True)
class Guard:
    """What an augmented text must fulfil.

    Attributes:
        positive: Class index of the positive label.
        negative: Class index of the negative label; rows of other labels are not guarded.
        lexicon: ``opinion`` or ``vader``; the sign of the first's polarity agrees with the label
            of more IMDB reviews (72 against 66 %).
        margin: How far the polarity (-1 to 1, see ``text.polarity``) may move against the label.
        redraws: How often another augmentation is tried.
    """

    positive: int
    negative: int
    lexicon: str = "opinion"
    margin: float = 0.2
    redraws: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name in ("positive", "negative", "redraws"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                message = f"guard: {name} must be an integer from 0, got {value!r}"
                raise InputError(message, path=(name,))
        if self.positive == self.negative:
            message = f"guard: positive and negative must differ, got {self.positive} for both"
            raise InputError(message, path=("positive",))
        if self.lexicon not in LEXICONS:
            message = f"guard: {unknown_name('lexicon', self.lexicon, LEXICONS)}"
            raise InputError(message, path=("lexicon",))
        number = isinstance(self.margin, int | float) and not isinstance(self.margin, bool)
        if not number or not 0 <= self.margin <= 2:
            message = f"guard: margin must be a number in [0, 2], got {self.margin!r}"
            raise InputError(message, path=("margin",))

    def to_json(self) -> dict[str, Any]:
        """Return the guard in the form that recipes use."""
        return asdict(self) | {"margin": float(self.margin)}

    def resources(self) -> dict[str, str]:
        """Return the digest of the lexicon."""
        return {f"lexicon {self.lexicon}": lexicon(self.lexicon)[1]}

    def contradicts(
        self, made: Sequence[str], before: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Tell which texts have moved against their label.

        Args:
            made: N augmented texts.
            before: ``float64[N]``: the polarity of the originals.
            labels: ``int64[N]``: class indices.
        """
        words = lexicon(self.lexicon)[0]
        after = np.array([polarity(text, words) for text in made])
        direction = (labels == self.positive).astype(np.int64) - (labels == self.negative)
        return np.asarray(direction * (before - after) > self.margin)


def parse_guard(mapping: Any) -> Guard:
    """Return the guard of a recipe.

    Raises:
        InputError: It is not one; the path is the key to blame.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"guard must be a mapping, got {mapping!r}")
    valid = list(Guard.__dataclass_fields__)
    for key in mapping:
        if key not in valid:
            raise InputError(f"guard: {unknown_name('key', key, valid)}", path=(key,))
    for key in ("positive", "negative"):
        if key not in mapping:
            raise InputError(f"guard needs the class index of the {key} label: add {key}:")
    return Guard(**mapping)


def guarded(
    guard: Guard,
    texts: Sequence[str],
    labels: NDArray[np.int64],
    *,
    draws: Draws,
    attempt: Attempt,
    untouched: Callable[[int], Trace],
) -> tuple[list[str], Trace]:
    """Return augmented texts that the guard accepts, and their trace.

    Args:
        guard: The rule.
        texts: N originals.
        labels: ``int64[N]``: class indices.
        draws: Generators of the N rows.
        attempt: Augments some rows.
        untouched: Returns the trace of so many rows that no op touched.
    """
    words = lexicon(guard.lexicon)[0]
    before = np.array([polarity(text, words) for text in texts])
    made, trace = attempt(np.arange(len(texts)), draws)
    redraws = np.zeros(len(texts), dtype=np.int64)
    wrong = np.flatnonzero(guard.contradicts(made, before, labels))
    for number in range(1, guard.redraws + 1):
        if not len(wrong):
            break
        again, of_again = attempt(wrong, draws.stream(f"redraw{number}"))
        _put(made, trace, wrong, again, of_again)
        redraws[wrong] = number
        wrong = wrong[guard.contradicts(again, before[wrong], labels[wrong])]
    _put(made, trace, wrong, [texts[row] for row in wrong.tolist()], untouched(len(wrong)))
    kept = np.zeros(len(texts), dtype=np.int64)
    kept[wrong] = 1
    for column, values in zip(COLUMNS, (redraws, kept), strict=True):
        trace[column][:] = values
    return made, trace


def _put(
    made: list[str], trace: Trace, rows: NDArray[np.intp], texts: Sequence[str], of_texts: Trace
) -> None:
    for row, text in zip(rows.tolist(), texts, strict=True):
        made[row] = text
    for column, values in of_texts.items():
        trace[column][rows] = values
