"""How often the gate against the live model errs, and what it sees: A/A and A/B comparisons.

The very tests that `components.acceptance` decides by, on pairs of models whose true difference is
known: simulated ones, and two small classifiers of scikit-learn's digits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmarks.result import Figure, Measured, Spread
from components.acceptance import Comparison, Evidence, LiveEvidence, Predictions, decide
from components.acceptance.betting import mean_upper_bound
from components.acceptance.calibration import error_upper_bound
from components.acceptance.paired import Discordance, least_gains, p_value
from components.acceptance.rules import TEST
from schemas.figures import LARGEST_LOSS
from schemas.gates import Metric

FIGURES = {
    "false_promotion_rate": ("%", "comparisons that promote a model that breaks the rule"),
    "exact_rate": ("%", "its probability, the highest over rates at which models differ"),
    "bound_rate": ("%", "models whose true loss or calibration error is the limit, and that pass"),
    "bound_width": (
        "",
        "how far these bounds lie above what is measured, in normal approximations",
    ),
    "alpha": ("%", "level of every test"),
    "power": ("%", "better models promoted by a required gain of 0"),
    "equal_accepted": ("%", "equal models accepted by a tolerated loss"),
}
ALPHA = 0.05
DISCORDANT = 0.08
DISCORDANCES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
SIZES = (1_000, 5_000, 10_000)
POINTS = (0.5, 1.0, 2.0)
SEEDS = (1, 2, 3, 4, 5)
DIGITS_TRAINED = 300
LOSS_EXAMPLES = (200, 1_000, 10_000)
SURE = (0.005, 0.02)

METRICS: tuple[Metric, ...] = ("accuracy", "loss", "calibration_error")

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def measure(*, quick: bool) -> Measured:
    """Compare models thousands of times; one set of comparisons per seed."""
    comparisons, losses, tables = (1_000, 10, 3) if quick else (100_000, 400, 400)
    seeds = SEEDS[:1] if quick else SEEDS
    sizes = SIZES[:1] if quick else SIZES
    rates = (DISCORDANT,) if quick else DISCORDANCES
    runs: dict[str, dict[str, list[float]]] = {key: {} for key in FIGURES if key != "alpha"}
    discordance = []
    for seed in seeds:
        found = [*_simulated(np.random.default_rng(seed), sizes, comparisons)]
        rows, rate = _digits(seed, comparisons, tables)
        discordance.append(rate)
        found += [*rows, *_bounds(np.random.default_rng(seed), losses)]
        for key, part, value in found:
            runs[key].setdefault(part, []).append(value)
    for part, value in _exactly(sizes, rates):
        runs["exact_rate"][part] = [value]
    return Measured(
        runs={**runs, "alpha": [100 * ALPHA]},
        conditions=_conditions(comparisons, losses, tables, len(seeds), discordance, rates),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return three Markdown tables: errors of comparisons, errors of bounds, and power."""
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    alpha = figures["alpha"].total.median if figures["alpha"].total else 100 * ALPHA
    lines = [
        f"| promoted against the rule, alpha {alpha:g} % | median | min to max | highest, exact |",
        "|---|---:|---:|---:|",
    ]
    for part, spread in parts["false_promotion_rate"].items():
        exact = parts["exact_rate"].get(part)
        exactly = f"{exact.median:.2f} %" if exact else ""
        lines.append(f"{_rates(part, spread)} {exactly} |")
    lines += [
        "",
        "| passed at a limit that is the truth | median | min to max | width |",
        "|---|---:|---:|---:|",
    ]
    for part, spread in parts["bound_rate"].items():
        lines.append(f"{_rates(part, spread)} {parts['bound_width'][part].median:.1f} |")
    sizes = [size for size in SIZES if _by(POINTS[0], size) in parts["power"]]
    heads = " | ".join(f"{size:,} examples" for size in sizes)
    lines += ["", f"| promoted, median of the runs | {heads} |", "|---|" + "---:|" * len(sizes)]
    for key, label in (
        ("power", "better by {} points, required gain 0"),
        ("equal_accepted", "equal, tolerated loss {} points"),
    ):
        for points in POINTS:
            cells = [f"{parts[key][_by(points, size)].median:.1f} %" for size in sizes]
            lines.append(f"| {label.format(f'{points:g}')} | {' | '.join(cells)} |")
    return lines


def _rates(part: str, spread: Spread) -> str:
    return f"| {part} | {spread.median:.2f} % | {spread.min:.2f} to {spread.max:.2f} |"


def _simulated(
    random: np.random.Generator, sizes: Sequence[int], comparisons: int
) -> Iterator[tuple[str, str, float]]:
    """Yield key, part and the percentage promoted, of models with a known true difference."""
    for size in sizes:
        equal = _drawn(random, size, 0.0, comparisons)
        yield "false_promotion_rate", _twin(size), 100 * promoted(equal, size, 0.0)
        for points in POINTS:
            margin = points / 100
            worse = _drawn(random, size, -margin, comparisons)
            part, broken = _worse(points, size), promoted(worse, size, -margin)
            yield "false_promotion_rate", part, 100 * broken
            yield "equal_accepted", _by(points, size), 100 * promoted(equal, size, -margin)
            better = _drawn(random, size, margin, comparisons)
            yield "power", _by(points, size), 100 * promoted(better, size, 0.0)


def _drawn(random: np.random.Generator, size: int, difference: float, comparisons: int) -> Counts:
    """Return gains and losses ``int64[comparisons, 2]`` of models with that true difference."""
    shares = [(DISCORDANT + difference) / 2, (DISCORDANT - difference) / 2, 1 - DISCORDANT]
    return random.multinomial(size, shares, size=comparisons)[:, :2]


def promoted(found: Counts, examples: int, margin: float) -> float:
    """Return the share of the comparisons that show a difference above the margin.

    Args:
        found: Gains and losses ``int64[K, 2]``.
        examples: Examples of every comparison.
        margin: As in `components.acceptance.paired`.
    """
    discordant, place = np.unique(found.sum(axis=1), return_inverse=True)
    return float(np.mean(found[:, 0] >= _least(discordant, examples, margin)[place]))


def _least(discordant: Counts, examples: int, margin: float) -> Counts:
    return np.array([_least_of(int(one), examples, margin) for one in discordant])


@functools.cache
def _least_of(discordant: int, examples: int, margin: float) -> int:
    return int(critical_gains([discordant], examples, margin, ALPHA)[0])


def critical_gains(
    discordant: ArrayLike, examples: int, margin: float, alpha: float
) -> NDArray[np.int64]:
    """Return the fewest gains that reject, ``int64[M]``, for each number of discordant examples.

    A number above that of the discordant examples: none do. One look-up in place of a test per
    sample.
    """
    numbers = np.asarray(discordant, np.int64)
    # The normal approximation is off by a gain or two, so the search is short.
    found = least_gains(numbers, examples, margin, float(stats.norm.isf(alpha)))
    for at, m in enumerate(numbers.tolist()):

        def rejects(gains: int, m: int = m) -> bool:
            one = Discordance(gains=gains, losses=m - gains, examples=examples)
            return p_value(one, margin) <= alpha

        while found[at] > 0 and rejects(int(found[at]) - 1):
            found[at] -= 1
        while found[at] <= m and not rejects(int(found[at])):
            found[at] += 1
    return found


def _exactly(sizes: Sequence[int], rates: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yield parts of the false promotion rate with their highest probability, in percent."""
    for size in sizes:
        yield _twin(size), 100 * _highest(size, 0.0, rates)
        for points in POINTS:
            yield _worse(points, size), 100 * _highest(size, -points / 100, rates)


def _highest(size: int, margin: float, rates: Sequence[float]) -> float:
    return max(_probability(size, margin, rate) for rate in rates if rate >= -margin)


def _probability(size: int, margin: float, rate: float) -> float:
    """Return how often a model whose difference is the margin itself is promoted.

    Args:
        size: Examples of the test.
        margin: As in `components.acceptance.paired`.
        rate: Share of the examples that one of the two models alone answers right.
    """
    low, high = stats.binom.ppf([1e-6, 1 - 1e-6], size, rate).astype(int)
    discordant = np.arange(low, high + 1)
    least = _least(discordant, size, margin)
    chance = stats.binom.pmf(discordant, size, rate)
    share = (rate + margin) / (2 * rate)
    return float(chance @ stats.binom.sf(least - 1, discordant, share)) + 2e-6


def _digits(seed: int, comparisons: int, tables: int) -> tuple[list[tuple[str, str, float]], float]:
    """Return figures of two forests, and how much of the test data they differ on.

    They have ten trees and learn from the same scans with other seeds. Test sets are drawn from
    the other scans with replacement, and on each example the two change places by the toss of a
    coin: so they are equal in truth, and as correlated as real models.
    """
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = order[:DIGITS_TRAINED], order[DIGITS_TRAINED:]
    both = np.stack([
        ExtraTreesClassifier(10, random_state=number).fit(images[train], labels[train])
        .predict_proba(images[test])
        for number in (2 * seed, 2 * seed + 1)
    ])  # fmt: skip
    right = both.argmax(axis=2) == labels[test]
    rate = float(np.mean(right[0] != right[1]))
    drawn = np.random.default_rng(seed).multinomial(
        len(test), [rate / 2, rate / 2, 1 - rate], size=comparisons
    )
    found = promoted(drawn[:, :2], len(test), 0.0)
    rows = [("false_promotion_rate", "digits: an equal twin, required gain 0", 100 * found)]
    passed: dict[tuple[str, Metric], int] = {}
    random = np.random.default_rng(seed)
    for _ in range(tables):
        chosen = random.integers(0, len(test), len(test))
        first = random.integers(0, 2, len(test))
        one, other = (both[which, chosen] for which in (first, 1 - first))
        for name, live in (("the model itself", one), ("an equal twin", other)):
            for metric in METRICS:
                key = (name, metric)
                passed[key] = passed.get(key, 0) + _goes_live(
                    one, live, labels[test][chosen], metric
                )
    for (name, metric), count in passed.items():
        part = f"digits, whole tables: {name}, required gain 0 of {metric.replace('_', ' ')}"
        rows.append(("false_promotion_rate", part, 100 * count / tables))
    return rows, rate


def _goes_live(candidate: Floats, live: Floats, labels: Counts, metric: Metric) -> bool:
    """Decide as a refresh does, on tables of probabilities ``float64[N, classes]``."""
    keys = [f"{number:06d}" for number in range(len(labels))]
    new, old = (
        Predictions.of(one, labels, keys, classes=[str(name) for name in range(one.shape[1])])
        for one in (candidate, live)
    )
    evidence = Evidence(tables={TEST: new}, live=LiveEvidence(state="present", tables={TEST: old}))
    return decide([Comparison(margin=0.0, metric=metric, alpha=ALPHA)], evidence)[0].passed


def _bounds(random: np.random.Generator, comparisons: int) -> Iterator[tuple[str, str, float]]:
    """Yield key, part and figure of the bounds of losses and of calibration errors."""
    for size in LOSS_EXAMPLES:
        shape = (comparisons, size)
        samples = [*_loss_samples(random, shape), *_calibration_samples(random, shape)]
        for name, bounds, values, truth in samples:
            part = f"{size:,} examples: {name}"
            yield "bound_rate", part, 100 * float(np.mean(bounds <= truth))
            normal = stats.norm.isf(ALPHA) * values.std() / math.sqrt(size)
            yield "bound_width", part, float(np.median(bounds - values.mean(axis=1)) / normal)


def _loss_samples(
    random: np.random.Generator, shape: tuple[int, int]
) -> Iterator[tuple[str, Floats, Floats, float]]:
    """Yield name, bounds, losses or their differences, and the true mean.

    Two models are compared whose differences are small on most examples and larger on some: normal,
    with a deviation drawn from an exponential distribution; skewed where one of them alone makes
    mistakes. Or a single model is next to perfect but for a few sure mistakes, whose losses are
    exponential with a mean of 5 nats, as far as losses go: a sample may hold none.
    """

    def bounded(values: Floats) -> Floats:
        return np.array([mean_upper_bound(one, LARGEST_LOSS, ALPHA) for one in values])

    scale, normal = random.exponential(0.3, shape), random.standard_normal(shape)
    for name, skew in (("symmetric", 0.0), ("skewed", 0.3)):
        values = np.minimum(scale * (normal + skew * (normal**2 - 1)), LARGEST_LOSS)
        yield f"equal loss, {name} differences", bounded(values), values, 0.0
    for share in SURE:
        large = np.minimum(random.exponential(5.0, shape), LARGEST_LOSS)
        values = np.where(random.random(shape) < share, large, 0.0)
        truth = share * 5.0 * (1 - math.exp(-LARGEST_LOSS / 5.0))
        yield f"loss, sure mistakes in {100 * share:g} %", bounded(values), values, truth


def _calibration_samples(
    random: np.random.Generator, shape: tuple[int, int]
) -> Iterator[tuple[str, Floats, Floats, float]]:
    """Yield name, bounds, mistakes and the true error of models that are certain of each answer."""
    for share in SURE:
        wrong = random.random(shape) < share
        sure = np.ones(shape[1])
        bounds = np.array([error_upper_bound(~one, sure, ALPHA) for one in wrong])
        name = f"calibration error, sure mistakes in {100 * share:g} %"
        yield name, bounds, wrong.astype(np.float64), share


def _twin(size: int) -> str:
    return f"{size:,} examples: an equal twin, required gain 0"


def _worse(points: float, size: int) -> str:
    return f"{size:,} examples: worse by {points:g} points, tolerated loss {points:g} points"


def _by(points: float, size: int) -> str:
    return f"{points:g} points, {size:,} examples"


def _conditions(
    comparisons: int,
    losses: int,
    tables: int,
    runs: int,
    discordance: Sequence[float],
    rates: Sequence[float],
) -> dict[str, str]:
    differing = ", ".join(f"{100 * rate:g}" for rate in rates)
    return {
        "comparisons": (
            f"{comparisons:,} per run and row, {runs} runs; {tables:,} per run on whole tables, "
            f"{losses:,} per run of a bound"
        ),
        "simulated": (
            f"one of the two models alone is right on {100 * DISCORDANT:g} % of the examples; "
            "their counts are drawn from the multinomial distribution of a true difference"
        ),
        "digits": (
            f"two forests of ten trees on {DIGITS_TRAINED} scans, tested on samples of the others; "
            f"one alone is right on {100 * min(discordance):.1f} to {100 * max(discordance):.1f} "
            "%; they change places at random, which makes them equal; whole tables are decided on "
            "as in a refresh"
        ),
        "tests": (
            "exact McNemar for a required gain of 0, the exact unconditional test with Tango's "
            "statistic for a tolerated loss; the betting bound for losses and calibration errors; "
            "one-sided"
        ),
        "highest, exact": (
            "the probability over all samples, of models that differ on "
            f"{differing} % of the examples, whichever is highest; the rest is noise of drawing"
        ),
        "sure mistakes": (
            "the other answers have no loss; a mistake's is exponential with a mean of 5 nats, "
            f"{LARGEST_LOSS:.1f} at most; for the calibration error each answer is given with "
            "certainty, so that the share of mistakes is the error"
        ),
        "width": (
            "median distance of the bound from what is measured, where that of a normal "
            "approximation that knows the true spread is 1"
        ),
    }
