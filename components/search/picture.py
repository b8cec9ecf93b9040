"""A search as a picture: accuracy against bytes, and against latency."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

from components.search.points import Point, front
from components.search.trials import Found

Size = Callable[[Point], float]
_COLOURS = ("tab:orange", "tab:green", "tab:purple", "tab:brown")
_PANELS: tuple[tuple[str, Size], ...] = (
    ("TFLite bytes (kB)", lambda point: point.bytes / 1000),
    ("latency of one example (ms, median, 1 thread)", lambda point: point.latency_ms),
)


def plot(
    found: Found, *, others: Mapping[str, Sequence[Point]] | None = None, title: str = ""
) -> bytes:
    """Return a PNG of two panels: accuracy on eval against bytes, and against latency.

    Trials that others surpass are faint, the front is joined, the smallest network above the
    floor is ringed.

    Args:
        found: The search.
        others: Networks made otherwise, such as by uniform pruning, by the name to show.
        title: What stands above both panels.
    """
    # Not pyplot: its state is global, and it may open windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (label, size) in zip(panels, _PANELS, strict=True):
        _draw(panel, found, others or {}, size)
        panel.set_xlabel(label)
        panel.grid(alpha=0.3, linewidth=0.5)
    panels[0].set_ylabel("accuracy on eval (%)")
    panels[0].legend(loc="lower right", fontsize="small", framealpha=0.9)
    if title:
        figure.suptitle(title)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def _draw(panel: Any, found: Found, others: Mapping[str, Sequence[Point]], size: Size) -> None:
    best = [one.point for one in found.front]
    surpassed = [one.point for one in found.trials if one not in found.front]
    panel.scatter(*_places(surpassed, size), s=22, color="tab:blue", alpha=0.3, label="surpassed")
    panel.plot(*_joined(best, size), color="tab:blue", linewidth=1.4, drawstyle="steps-post")
    panel.scatter(*_places(best, size), s=34, color="tab:blue", label="front", zorder=3)
    for (name, points), colour in zip(others.items(), cycle(_COLOURS)):
        panel.plot(*_joined(points, size), color=colour, linewidth=1.0, linestyle="--")
        panel.scatter(*_places(points, size), s=26, marker="s", color=colour, label=name)
    panel.scatter(
        *_places([found.dense], size), s=110, marker="*", color="black", label="dense", zorder=4
    )
    panel.axhline(100 * found.floor, color="tab:red", linewidth=0.9, linestyle=":", label="floor")
    if found.smallest is not None:
        panel.scatter(
            *_places([found.smallest.point], size),
            s=150,
            facecolors="none",
            edgecolors="tab:red",
            linewidths=1.6,
            label="smallest above the floor",
            zorder=5,
        )


def _places(points: Sequence[Point], size: Size) -> tuple[list[float], list[float]]:
    return [size(one) for one in points], [100 * one.accuracy for one in points]


def _joined(points: Sequence[Point], size: Size) -> tuple[list[float], list[float]]:
    """Return those that none surpasses in this panel, from left to right."""
    best = front([(size(one), -one.accuracy) for one in points])
    return _places(sorted((points[one] for one in best), key=size), size)
