"""What recipes, ops, sources and stages there are, a row each: name and one line."""

from __future__ import annotations

from collections.abc import Callable

Rows = list[tuple[str, str]]


def recipes() -> Rows:
    """The shipped recipes."""
    from schemas.recipe import load_recipe, shipped

    return [(name, load_recipe(name).recipe.description) for name in shipped()]


def ops() -> Rows:
    """The augmentation ops, with modality and family."""
    from pipelines.augment import registry

    ops = [registry.get(name) for name in registry.names()]
    return [(op.name, f"{op.modality:<6} {op.family:<10} {op.summary}") for op in ops]


def sources() -> Rows:
    """The kinds of sources, with their settings."""
    from pipelines.dataset.sources import SOURCES

    rows = []
    for name, kind in SOURCES.items():
        rows.append((name, kind.summary))
        settings = kind.settings()
        if settings:
            rows.append(("", f"settings: {', '.join(settings)}"))
        if kind.infers:
            rows.append(
                ("", "schema:   <recipe>.pbtxt, written where missing; else `schema: FILE`")
            )
    return rows


def stages() -> Rows:
    """The kinds of model stages."""
    from schemas.stages import STAGE_KINDS

    return [(name, (kind.__doc__ or "").splitlines()[0]) for name, kind in STAGE_KINDS.items()]


LISTINGS: dict[str, Callable[[], Rows]] = {
    "recipes": recipes,
    "ops": ops,
    "sources": sources,
    "stages": stages,
}
