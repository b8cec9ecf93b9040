"""The ops by name. An op is one decorated function in a module of ``image/`` or ``text/``.

The function is the pure kernel; the decorator declares its parameters as distributions. Each kind
of kernel has its own signature, always with one array of N rows per parameter and one scalar per
setting as keyword arguments:

========  ==================================================================================
affine    ``(height=, width=, **params) -> float64[N, 2, 3]``: maps output to input pixels,
          both measured from the centre of the image, x right and y down
colour    ``(**params) -> float64[N, 3, 4]``: linear map of (R, G, B, 1), grey levels 0 to 255
pixel     ``(images uint8[N, H, W, C], **params) -> uint8[N, H, W, C]``
mix       ``(images, partners, **params) -> (images, weight)``: both ``uint8[N, H, W, C]``;
          ``weight`` is ``float64[N]``, the partner's share of the result and of its label
tokens    ``(documents, **params) -> (documents, edits)``: lists of ``text.tokenize.Tokens``,
          unmutated; ``edits`` is ``int64[N]``, how many edits each document got, for provenance
========  ==================================================================================

Adjacent affine ops are fused into one interpolation and adjacent colour ops into one map; affine
kernels therefore never see ``fill`` and ``fill_value``, settings that all of them have.

The partner of a mixed row is the original of another row of the batch (see ``execute``).

Pixel and tokens kernels may ask for more than their own rows, by the names in ``NEEDS``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Distribution, Setting, Strength
from schemas.errors import InputError, unknown_name

Modality = Literal["image", "text"]
Kind = Literal["affine", "colour", "pixel", "mix", "tokens"]
Kernel = Callable[..., Any]
Resources = Callable[..., Mapping[str, str]]

MODALITIES: tuple[Modality, ...] = ("image", "text")
FILLS = ("nearest", "constant", "reflect", "wrap")
FILL_SETTINGS = {
    "fill": Setting("nearest", choices=FILLS),
    "fill_value": Setting(0, limits=(0, 255)),
}
RESERVED = frozenset(
    {"op", "probability", "strength", "weight", "labels", "version", "edits", "partner"}
)
NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "labels": "``int64[N]``: the class index of each row",
        "ngrams": "``text.ngrams.ClassModels`` of the training split, from the context",
        "protect_names": "``bool``: whether the policy keeps names as they are",
    }
)
"""What a kernel can ask for in ``needs=``; each arrives as a keyword argument of that name."""

_OPS: dict[str, Op] = {}


def _no_resources(**_settings: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Op:
    """A named augmentation.

    Attributes:
        name: What recipes call it.
        version: Raised with every change of output; part of every recipe's fingerprint.
        modality: ``"image"`` or ``"text"``.
        family: The group in listings, e.g. ``"geometry"``.
        kind: Which kernel signature it has.
        params: Distribution per random parameter.
        settings: Fixed options.
        kernel: The decorated function.
        summary: First line of the kernel's docstring.
        resources: Given the settings, returns the digest of each installed resource the output
            depends on, such as a corpus; part of every recipe's fingerprint. Raises ``InputError``
            if one is missing.
        needs: What else the kernel takes, names of ``NEEDS``.
    """

    name: str
    version: int
    modality: Modality
    family: str
    kind: Kind
    params: Mapping[str, Distribution]
    settings: Mapping[str, Setting]
    kernel: Kernel
    summary: str
    resources: Resources
    needs: tuple[str, ...] = ()

    def sample(self, draws: Draws, strength: Strength) -> dict[str, NDArray[Any]]:
        """Return one array of N values per parameter, as used and as stored in provenance.

        Args:
            draws: Generators of the N rows.
            strength: For all rows, or one per row; 0 (identity) to 1 (the declared range).
        """
        return {
            name: distribution.sample(draws.stream(name), strength)
            for name, distribution in self.params.items()
        }

    def configure(self, options: Mapping[str, Any]) -> Op:
        """Return the op with the bounds and settings of ``options`` in place of the defaults.

        Raises:
            InputError: If an option is unknown or its value not allowed; its path is the option.
        """
        params, settings = dict(self.params), dict(self.settings)
        for option, value in options.items():
            try:
                if option in params:
                    params[option] = params[option].override(value)
                elif option in settings:
                    settings[option] = settings[option].override(value)
                else:
                    raise InputError(unknown_name("option", option, [*params, *settings]))
            except InputError as error:
                known = option in params or option in settings
                what = f"{self.name}: {option} " if known else f"{self.name}: "
                raise InputError(what + error.message, path=(option,)) from None
        return replace(self, params=MappingProxyType(params), settings=MappingProxyType(settings))

    def defaults(self) -> dict[str, Any]:
        """Return the bounds and settings in the form that a recipe gives them in."""
        bounds = {name: param.describe() for name, param in self.params.items()}
        return bounds | self.setting_values()

    def setting_values(self) -> dict[str, Any]:
        """Return the value of each setting, as the kernel takes it."""
        return {name: setting.default for name, setting in self.settings.items()}

    def is_unnamed(self, option: str) -> bool:
        """Tell whether ``option`` is a setting with its ``unnamed`` value."""
        setting = self.settings.get(option)
        return setting is not None and setting.default == setting.unnamed

    def resource_digests(self) -> dict[str, str]:
        """Return ``resources`` for the settings as they are."""
        return dict(self.resources(**self.setting_values()))


def image_op(
    name: str,
    *,
    family: str,
    kind: Literal["affine", "colour", "pixel", "mix"],
    version: int,
    params: Mapping[str, Distribution],
    settings: Mapping[str, Setting] = MappingProxyType({}),
    resources: Resources = _no_resources,
    needs: tuple[str, ...] = (),
) -> Callable[[Kernel], Kernel]:
    """Register the decorated kernel as an image op (signatures: see the module)."""
    own = (FILL_SETTINGS if kind == "affine" else {}) | dict(settings)
    return _register(name, "image", family, kind, version, params, own, resources, needs)


def text_op(
    name: str,
    *,
    family: str,
    version: int,
    params: Mapping[str, Distribution],
    settings: Mapping[str, Setting] = MappingProxyType({}),
    resources: Resources = _no_resources,
    needs: tuple[str, ...] = (),
) -> Callable[[Kernel], Kernel]:
    """Register the decorated kernel as a text op (signature: see the module)."""
    own = dict(settings)
    return _register(name, "text", family, "tokens", version, params, own, resources, needs)


def _register(
    name: str,
    modality: Modality,
    family: str,
    kind: Kind,
    version: int,
    params: Mapping[str, Distribution],
    settings: Mapping[str, Setting],
    resources: Resources = _no_resources,
    needs: tuple[str, ...] = (),
) -> Callable[[Kernel], Kernel]:
    taken = (RESERVED | {*needs}) & {*params, *settings}
    if taken:
        raise ValueError(f"op {name!r}: {sorted(taken)} are words of the recipe: rename them")
    for need in needs:
        if need not in NEEDS:
            raise ValueError(f"op {name!r}: {unknown_name('need', need, NEEDS)}")

    def decorate(kernel: Kernel) -> Kernel:
        if name in _OPS:
            raise ValueError(f"op {name!r} is registered twice: names are unique, choose another")
        lines = (inspect.getdoc(kernel) or "").splitlines()
        if not lines:
            raise ValueError(f"op {name!r} has no docstring: its first line is the listed summary")
        frozen_params, frozen_settings = MappingProxyType(dict(params)), MappingProxyType(settings)
        _OPS[name] = Op(
            name=name,
            version=version,
            modality=modality,
            family=family,
            kind=kind,
            params=frozen_params,
            settings=frozen_settings,
            kernel=kernel,
            summary=lines[0],
            resources=resources,
            needs=needs,
        )
        return kernel

    return decorate


def load_all() -> None:
    """Import every module of ``image/`` and ``text/``, so that their ops are registered."""
    for modality in MODALITIES:
        package = importlib.import_module(f"pipelines.augment.{modality}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")


def get(name: str) -> Op:
    """Return the op called ``name``.

    Raises:
        InputError: If there is none; the message lists the names and the nearest.
    """
    if name not in _OPS:
        load_all()
    if name not in _OPS:
        raise InputError(unknown_name("op", name, _OPS))
    return _OPS[name]


def names(modality: Modality | None = None) -> list[str]:
    """Return the names of all ops, or of those of one modality, sorted."""
    load_all()
    return sorted(op.name for op in _OPS.values() if modality in (None, op.modality))


def table() -> list[dict[str, Any]]:
    """Return one row per op for listings, by modality, family and name.

    Each row has ``name, modality, family, kind, version, parameters, summary``; ``parameters``
    maps names to their defaults, in the form that a recipe gives them in.
    """
    load_all()
    ops = sorted(_OPS.values(), key=lambda op: (op.modality, op.family, op.name))
    return [
        {
            "name": op.name,
            "modality": op.modality,
            "family": op.family,
            "kind": op.kind,
            "version": op.version,
            "parameters": op.defaults(),
            "summary": op.summary,
        }
        for op in ops
    ]


def as_stored(distribution: Distribution, values: NDArray[Any]) -> NDArray[Any]:
    """Return parameter values in their provenance type: ``int64`` or ``float32``, exactly."""
    return values.astype(np.int64 if distribution.integer else np.float32)
