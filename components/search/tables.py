"""A search as a Markdown table."""

from components.search.points import Point
from components.search.trials import Found, Trial


def table(found: Found, *, every: bool = False) -> str:
    """Return the front, the smallest network first, as Markdown; ``every`` trial if asked.

    The network that was asked for is marked, and the one that was searched from stands last.
    """
    lines = [
        "| trial | method, criterion, learns from | epochs | accuracy on eval | bytes | MACs | "
        "milliseconds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    trials = found.trials if every else found.front
    for trial in trials:
        candidate = trial.candidate
        mark = " **smallest**" if trial == found.smallest else ""
        what = f"{candidate.method} {candidate.ratio:.0%}, {candidate.criterion}, "
        lines.append(
            _row(f"{trial.number}{mark}", what + candidate.lesson, str(trial.epochs), trial.point)
        )
    lines.append(_row("dense", "", "", found.dense))
    return "\n".join([*lines, "", verdict(found)]) + "\n"


def verdict(found: Found) -> str:
    """Say in a sentence which network meets the floor."""
    asked = f"an accuracy of {found.floor:.2%}"
    if found.smallest is None:
        best = max(found.trials, key=_accuracy)
        return (
            f"No network of {len(found.trials)} reaches {asked}; the best comes to "
            f"{best.point.accuracy:.2%} with {best.point.bytes:,} bytes."
        )
    point = found.smallest.point
    return (
        f"Trial {found.smallest.number} is the smallest of {len(found.trials)} with {asked}: "
        f"{point.accuracy:.2%}, {point.bytes:,} bytes, {found.dense.bytes / point.bytes:.1f} times "
        "fewer than before."
    )


def _accuracy(trial: Trial) -> float:
    return trial.point.accuracy


def _row(name: str, what: str, epochs: str, point: Point) -> str:
    cells = [name, what, epochs, f"{point.accuracy:.2%}", f"{point.bytes:,}", f"{point.macs:,}"]
    return "| " + " | ".join([*cells, f"{point.latency_ms:.3f}"]) + " |"
