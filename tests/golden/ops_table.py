"""The tables of ``docs/ops.md``, from the registry."""

from pathlib import Path

from pipelines.augment import listing

PATH = Path(__file__).parents[2] / "docs" / "ops.md"


def compute() -> str:
    """Return what the file should hold."""
    return listing.updated(PATH.read_text("utf-8"))


def renew() -> list[Path]:
    """Write the file and return its path."""
    PATH.write_text(compute(), "utf-8")
    return [PATH]
