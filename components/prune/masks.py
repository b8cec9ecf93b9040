"""Masks: single connections leave, the shapes stay; files shrink only where zeros are encoded.

Plain Keras 3, usable by itself::

    masks = magnitude(model, ratio=0.9)
    with enforced(model, masks):  # every optimizer step ends with the same zeros
        model.fit(...)
    model.save("sparse.keras")  # a plain file: nothing of the masks but the zeros

Magnitude is what Han et al. ("Learning both Weights and Connections", 2015) rank by; `pattern` is
the N:M sparsity of Mishra et al. ("Accelerating Sparse Deep Neural Networks", 2021); `cubic` the
gradual schedule of Zhu and Gupta ("To prune, or not to prune", 2017).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from components.prune.keras_graph import leaves
from schemas.errors import InputError, unknown_name

Masks = Mapping[str, NDArray[np.bool_]]
"""Name of a layer to what of its kernel stays, ``bool`` of the kernel's shape."""

SCOPES = ("global", "layer")


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Zeros of one kernel.

    Attributes:
        layer: Name of its layer.
        weights: Number of its weights.
        zeros: How many of them are exactly zero.
    """

    layer: str
    weights: int
    zeros: int

    @property
    def share(self) -> float:
        """Share of zeros."""
        return self.zeros / self.weights


def kernels(model: keras.Model, protected: Sequence[str] = ()) -> dict[str, keras.Variable]:
    """Return the kernels that masks may thin, by the name of their layer, in the model's order.

    They are those of dense and (transposed, depthwise) convolution layers, nested models
    included; biases, normalisation, embeddings and recurrent layers stay whole.

    Args:
        model: The network.
        protected: Names or patterns (``stem_*``) of layers to leave out.

    Raises:
        InputError: a protected name fits no layer, or no kernel is left.
    """
    found: dict[str, keras.Variable] = {}
    seen: set[int] = set()
    for name, layer in leaves(model):
        kernel = getattr(layer, "kernel", None)
        if isinstance(kernel, keras.Variable) and len(kernel.shape) > 1 and id(kernel) not in seen:
            seen.add(id(kernel))  # a shared layer is met more than once
            found[str(name)] = kernel
    for pattern in protected:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise InputError(
                unknown_name("layer with a kernel", pattern, found), path=("protected",)
            )
    kept = {
        name: kernel
        for name, kernel in found.items()
        if not any(fnmatchcase(name, pattern) for pattern in protected)
    }
    if not kept:
        raise InputError(f"network {model.name!r} has no kernel that masks could thin")
    return kept


def magnitude(
    model: keras.Model,
    *,
    ratio: float | None = None,
    threshold: float | None = None,
    scope: str = "global",
    protected: Sequence[str] = (),
) -> Masks:
    """Mask the weights of least magnitude.

    Weights that are zero already are the first to go, so a higher ratio only adds to a mask.

    Args:
        model: The network; it is not changed.
        ratio: Share of the weights to mask, exact to one weight.
        threshold: Instead: mask whatever is smaller.
        scope: With ``ratio``, whether the share is of all kernels together (``global``) or of
            each one (``layer``).
        protected: Names or patterns of layers that stay whole.

    Raises:
        InputError: not exactly one of ratio and threshold, or a layer would lose every weight.
    """
    if (ratio is None) == (threshold is None):
        raise InputError(f"set exactly one of ratio and threshold, not {ratio} and {threshold}")
    if scope not in SCOPES:
        raise InputError(unknown_name("scope", scope, SCOPES))
    sizes = {name: np.abs(one.numpy()) for name, one in kernels(model, protected).items()}
    if threshold is not None:
        masks = {name: size >= threshold for name, size in sizes.items()}
    elif scope == "layer":
        masks = {name: _largest(size, ratio) for name, size in sizes.items()}
    else:
        flat = _largest(np.concatenate([one.ravel() for one in sizes.values()]), ratio)
        ends = np.cumsum([one.size for one in sizes.values()])[:-1]
        parts = np.split(flat, ends)
        masks = {
            name: part.reshape(sizes[name].shape) for name, part in zip(sizes, parts, strict=True)
        }
    for name, mask in masks.items():
        if not mask.any():
            raise InputError(
                f"layer {name!r} would lose all of its {mask.size:,} weights: mask less, protect "
                "it, or set scope to layer"
            )
    return masks


def pattern(model: keras.Model, keep: int, group: int, *, protected: Sequence[str] = ()) -> Masks:
    """Keep the ``keep`` largest of every ``group`` neighbours along a kernel's input axis (N:M).

    A kernel whose inputs are no multiple of ``group`` gets no mask.

    Raises:
        InputError: not ``0 < keep < group``, or it fits no kernel.
    """
    if not 0 < keep < group:
        raise InputError(f"a pattern keeps fewer than its group, and some; not {keep}:{group}")
    masks = {}
    for name, kernel in kernels(model, protected).items():
        size = np.abs(kernel.numpy())
        if size.shape[-2] % group:
            continue
        rows = np.moveaxis(size, -2, -1)
        rows = rows.reshape(*rows.shape[:-1], -1, group)
        order = np.argsort(-rows, axis=-1, kind="stable")
        mask = np.zeros(rows.shape, bool)
        np.put_along_axis(mask, order[..., :keep], True, axis=-1)
        shape = (*size.shape[:-2], size.shape[-1], size.shape[-2])
        masks[name] = np.moveaxis(mask.reshape(shape), -1, -2)
    if not masks:
        raise InputError(f"pattern {keep}:{group} needs a kernel whose inputs are a multiple of it")
    return masks


def cubic(final: float, step: int, steps: int) -> float:
    """Return the share to mask after ``step`` of ``steps``: much at first, then ever less."""
    return final * (1 - (1 - step / steps) ** 3)


def apply(model: keras.Model, masks: Masks) -> None:
    """Set every masked weight to zero, once.

    Raises:
        InputError: a mask fits no kernel of the network.
    """
    for kernel, mask in _pairs(model, masks):
        kernel.assign(np.where(mask, kernel.numpy(), 0))


@contextlib.contextmanager
def enforced(model: keras.Model, masks: Masks) -> Iterator[None]:
    """Hold masked weights at zero through whatever training happens inside.

    A constraint on the variable does it: Keras optimizers apply it at the end of every step. It is
    not part of the layer's config, so that no saved file holds it, and it is gone afterwards.

    Raises:
        InputError: a mask fits no kernel of the network.
    """
    pairs = _pairs(model, masks)
    before = [kernel.constraint for kernel, _ in pairs]
    apply(model, masks)
    for (kernel, mask), own in zip(pairs, before, strict=True):
        kernel.constraint = _Hold(mask, own)
    try:
        yield
    finally:
        for (kernel, _), own in zip(pairs, before, strict=True):
            kernel.constraint = own


def sparsity(model: keras.Model) -> list[Sparsity]:
    """Count the zeros of every kernel."""
    return [
        Sparsity(
            layer=name,
            weights=int(np.prod(kernel.shape)),
            zeros=int((kernel.numpy() == 0).sum()),
        )
        for name, kernel in kernels(model).items()
    ]


class _Hold(keras.constraints.Constraint):
    """Zero what the mask leaves out, after the constraint that the layer has itself."""

    def __init__(self, mask: NDArray[np.bool_], own: object) -> None:
        self.mask = mask
        self.own = own

    def __call__(self, w):
        if callable(self.own):
            w = self.own(w)
        return ops.where(self.mask, w, ops.zeros_like(w))


def _largest(sizes: NDArray[np.floating], ratio: float) -> NDArray[np.bool_]:
    """Return the mask of an array that leaves out its smallest share; the first of equals go."""
    if not 0 <= ratio < 1:
        raise InputError(f"ratio must be at least 0 and below 1, not {ratio}")
    mask = np.ones(sizes.size, bool)
    mask[np.argsort(sizes, axis=None, kind="stable")[: round(ratio * sizes.size)]] = False
    return mask.reshape(sizes.shape)


def _pairs(model: keras.Model, masks: Masks) -> list[tuple[keras.Variable, NDArray[np.bool_]]]:
    found = kernels(model)
    for name, mask in masks.items():
        if name not in found:
            raise InputError(unknown_name("layer with a kernel", name, found))
        if tuple(found[name].shape) != mask.shape:
            raise InputError(
                f"the mask of layer {name!r} must have its kernel's shape "
                f"{tuple(found[name].shape)}, not {mask.shape}"
            )
    return [(found[name], mask) for name, mask in masks.items()]
