"""AugMix: an image blended with a mixture of differently augmented versions of itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Setting, Uniform
from pipelines.augment.registry import image_op

if TYPE_CHECKING:
    from pipelines.augment.policy import Policy

Images = NDArray[np.uint8]

_SHARES = 256
_LARGEST = 10


def _chain_digest(*, depth: int, severity: int, **_settings: int) -> dict[str, str]:
    return {"augmix chain": chain(depth, severity).identity()}


@image_op(
    "augmix",
    family="mixing",
    kind="pixel",
    version=1,
    params={"share": Uniform(0.0, 1.0, identity=0.0, limits=(0.0, 1.0)), "seed": Seed()},
    settings={
        "width": Setting(3, limits=(1, _LARGEST)),
        "depth": Setting(3, limits=(1, _LARGEST)),
        "severity": Setting(3, limits=(1, _LARGEST)),
    },
    resources=_chain_digest,
)
def augmix(
    images: Images,
    *,
    share: NDArray[np.float64],
    seed: NDArray[np.int64],
    width: int,
    depth: int,
    severity: int,
) -> Images:
    """Blend with ``width`` chains of up to ``depth`` ops each, ``share`` of the result from them.

    D. Hendrycks et al., "AugMix", ICLR 2020. The chains' weights come from Dirichlet(1, ..., 1) as
    the gaps between sorted uniform numbers, ``share`` from Beta(1, 1), which is uniform. Weights
    are whole numbers of 1/256.
    """
    # Imported late: policies are made of registered ops, of which this is one.
    from pipelines.augment.context import Context
    from pipelines.augment.execute import run_images

    draws = Draws.from_seeds(seed)
    cuts = np.sort(draws.stream("weights").uniform(width - 1), axis=1)
    ends = np.concatenate([cuts, np.ones((len(images), 1))], axis=1)
    limits = np.rint(ends * share[:, None] * _SHARES).astype(np.uint16)
    parts = np.diff(limits, axis=1, prepend=np.uint16(0))[:, :, None, None, None]
    total = images * (np.uint16(_SHARES) - limits[:, -1])[:, None, None, None]
    policy = chain(depth, severity)
    for index in range(width):
        of_chain = draws.stream(f"chain {index}")
        made, _ = run_images(policy, images, [], of_chain, None, Context())
        total += made * parts[:, index]
    total += np.uint16(_SHARES // 2)
    total //= np.uint16(_SHARES)
    return total.astype(np.uint8)


@lru_cache(maxsize=16)
def chain(depth: int, severity: int) -> Policy:
    """Return the policy of one chain: 1 to ``depth`` ops, as many as often, out of nine.

    Magnitudes are those of the authors' code: each op's level is uniform between 0.1 and
    ``severity`` of 10, at which it turns by 30 degrees, shears by 0.3, moves by a third of the side
    or inverts everything. Posterize keeps between ``4 - 0.4 * severity`` and 4 bits.
    """
    from pipelines.augment.policy import parse_policy

    strength = [0.01, severity / 10]
    moved = {"strength": strength, "fill": "constant"}
    ops = [
        {"op": "autocontrast"},
        {"op": "equalize"},
        {"op": "posterize", "bits": [max(1, 4 - (2 * severity) // 5), 4]},
        {"op": "rotate_fixed", "degrees": 30, **moved},
        {"op": "solarize", "threshold": 0, "strength": strength},
        {"op": "shear_x", "amount": 0.3, **moved},
        {"op": "shear_y", "amount": 0.3, **moved},
        {"op": "translate_x", "amount": 0.333, **moved},
        {"op": "translate_y", "amount": 0.333, **moved},
    ]
    slot = {"choose": ops}
    return parse_policy({"branches": [{"slots": [slot] * (n + 1)} for n in range(depth)]}, "image")
