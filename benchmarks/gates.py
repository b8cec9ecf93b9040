"""How often the gate against the live model errs, and what it sees: A/A and A/B comparisons.

The very tests that `components.acceptance` decides by, on pairs of models whose true difference is
known: simulated ones, and two small classifiers of scikit-learn's digits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.result import Figure, Measured
from components.acceptance.paired import critical_gains
from components.acceptance.resampling import mean_upper_bounds

FIGURES = {
    "false_promotion_rate": ("%", "comparisons that promote a model that breaks the rule"),
    "exact_rate": ("%", "the same from all possible samples, without drawing"),
    "bootstrap_rate": ("%", "models of equal mean loss promoted by a required gain of 0"),
    "alpha": ("%", "level of every test"),
    "power": ("%", "better models promoted by a required gain of 0"),
    "equal_accepted": ("%", "equal models accepted by a tolerated loss"),
}
ALPHA = 0.05
DISCORDANT = 0.08
SIZES = (1_000, 5_000, 10_000)
POINTS = (0.5, 1.0, 2.0)
SEEDS = (1, 2, 3, 4, 5)
DIGITS_TRAINED = 300
LOSS_EXAMPLES = (200, 500, 2_000)

Counts = NDArray[np.int64]


def measure(*, quick: bool) -> Measured:
    """Compare models thousands of times; one set of comparisons per seed."""
    comparisons, losses = (1_000, 50) if quick else (100_000, 1_000)
    seeds = SEEDS[:1] if quick else SEEDS
    sizes = SIZES[:1] if quick else SIZES
    runs: dict[str, dict[str, list[float]]] = {key: {} for key in FIGURES if key != "alpha"}
    discordance = []
    for seed in seeds:
        for key, part, value in _simulated(np.random.default_rng(seed), sizes, comparisons):
            runs[key].setdefault(part, []).append(100 * value)
        errors = runs["false_promotion_rate"]
        found, rate = _digits(seed, comparisons)
        discordance.append(rate)
        errors.setdefault("digits: an equal twin, required gain 0", []).append(100 * found)
        for part, value in _losses(np.random.default_rng(seed), losses):
            runs["bootstrap_rate"].setdefault(part, []).append(100 * value)
    for part, value in _exactly(sizes):
        runs["exact_rate"][part] = [100 * value]
    return Measured(
        runs={**runs, "alpha": [100 * ALPHA]},
        conditions=_conditions(comparisons, losses, len(seeds), discordance),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return two Markdown tables: errors beside alpha, and power by size and difference."""
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    alpha = figures["alpha"].total.median if figures["alpha"].total else 100 * ALPHA
    lines = [
        f"| promoted against the rule, alpha {alpha:g} % | median | min to max | exact |",
        "|---|---:|---:|---:|",
    ]
    for part, spread in {**parts["false_promotion_rate"], **parts["bootstrap_rate"]}.items():
        exact = parts["exact_rate"].get(part)
        exactly = f"{exact.median:.2f} %" if exact else ""
        lines.append(
            f"| {part} | {spread.median:.2f} % | {spread.min:.2f} to {spread.max:.2f} | {exactly} |"
        )
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


def _simulated(
    random: np.random.Generator, sizes: Sequence[int], comparisons: int
) -> Iterator[tuple[str, str, float]]:
    """Yield key, part and the share promoted, of models with a known true difference."""
    for size in sizes:
        same = np.zeros((comparisons, 2), np.int64)
        yield "false_promotion_rate", _itself(size), promoted(same, size, 0.0)
        equal = _drawn(random, size, 0.0, comparisons)
        yield "false_promotion_rate", _twin(size), promoted(equal, size, 0.0)
        for points in POINTS:
            margin = points / 100
            worse = _drawn(random, size, -margin, comparisons)
            yield "false_promotion_rate", _worse(points, size), promoted(worse, size, -margin)
            yield "equal_accepted", _by(points, size), promoted(equal, size, -margin)
            better = _drawn(random, size, margin, comparisons)
            yield "power", _by(points, size), promoted(better, size, 0.0)


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


def _exactly(sizes: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Yield parts of the false promotion rate with their probability over all samples."""
    for size in sizes:
        yield _twin(size), _probability(size, 0.0)
        for points in POINTS:
            yield _worse(points, size), _probability(size, -points / 100)


def _probability(size: int, margin: float) -> float:
    """Return how often a model whose difference is the margin itself is promoted."""
    low, high = stats.binom.ppf([1e-6, 1 - 1e-6], size, DISCORDANT).astype(int)
    discordant = np.arange(low, high + 1)
    least = _least(discordant, size, margin)
    chance = stats.binom.pmf(discordant, size, DISCORDANT)
    share = (DISCORDANT + margin) / (2 * DISCORDANT)
    return float(chance @ stats.binom.sf(least - 1, discordant, share)) + 2e-6


def _digits(seed: int, comparisons: int) -> tuple[float, float]:
    """Return the share of equal twins promoted, and how much of the test data they differ on.

    Two forests of ten trees learn from the same scans with other seeds. Test sets are drawn from
    the other scans with replacement, and on each example the two change places by the toss of a
    coin: so they are equal in truth, and as correlated as real models.
    """
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = order[:DIGITS_TRAINED], order[DIGITS_TRAINED:]
    right = [
        ExtraTreesClassifier(10, random_state=number).fit(images[train], labels[train])
        .predict(images[test]) == labels[test]
        for number in (2 * seed, 2 * seed + 1)
    ]  # fmt: skip
    rate = float(np.mean(right[0] != right[1]))
    shares = [rate / 2, rate / 2, 1 - rate]
    drawn = np.random.default_rng(seed).multinomial(len(test), shares, size=comparisons)
    return promoted(drawn[:, :2], len(test), 0.0), rate


def _losses(random: np.random.Generator, comparisons: int) -> Iterator[tuple[str, float]]:
    """Yield parts and the share of comparisons that find a gain where mean losses are equal.

    The difference of two losses is small on most examples and large where a model is sure of a
    mistake: normal, with a deviation drawn from an exponential distribution. Between twins it is
    symmetric; it is skewed where one of the models alone makes such mistakes.
    """
    for size in LOSS_EXAMPLES:
        shape = (size, comparisons)
        scale, normal = random.exponential(0.3, shape), random.standard_normal(shape)
        for name, skew in (("symmetric", 0.0), ("skewed", 0.3)):
            differences = scale * (normal + skew * (normal**2 - 1))
            found = float(np.mean(mean_upper_bounds(differences, ALPHA) < 0))
            yield f"{size:,} examples: equal loss, {name} differences, required gain 0", found


def _itself(size: int) -> str:
    return f"{size:,} examples: the model itself, required gain 0"


def _twin(size: int) -> str:
    return f"{size:,} examples: an equal twin, required gain 0"


def _worse(points: float, size: int) -> str:
    return f"{size:,} examples: worse by {points:g} points, tolerated loss {points:g} points"


def _by(points: float, size: int) -> str:
    return f"{points:g} points, {size:,} examples"


def _conditions(
    comparisons: int, losses: int, runs: int, discordance: list[float]
) -> dict[str, str]:
    return {
        "comparisons": (
            f"{comparisons:,} per run and row, {runs} runs; {losses:,} per run for the bootstrap"
        ),
        "simulated": (
            f"one of the two models alone is right on {100 * DISCORDANT:g} % of the examples; "
            "their counts are drawn from the multinomial distribution of a true difference"
        ),
        "digits": (
            f"two forests of ten trees on {DIGITS_TRAINED} scans, tested on samples of the others; "
            f"one alone is right on {100 * min(discordance):.1f} to {100 * max(discordance):.1f} "
            "%; they change places at random, which makes them equal"
        ),
        "tests": (
            "exact McNemar for a required gain of 0, the exact unconditional test with Tango's "
            "statistic for a tolerated loss; the bootstrap-t, approximate, for losses; one-sided"
        ),
        "exact": "the probability over all samples; the rest of the median is noise of drawing",
    }
