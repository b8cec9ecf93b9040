"""Single ops with given parameters on single images."""

import numpy as np

from pipelines.augment import registry
from pipelines.augment.image import warp

GRID = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)


def moved(name, image, *, fill="nearest", **params):
    """Apply an affine op with given parameters to one grey image."""
    batch = np.asarray(image, dtype=np.uint8)[None, :, :, None]
    height, width = batch.shape[1:3]
    arrays = {key: np.array([value]) for key, value in params.items()}
    matrices = registry.get(name).kernel(height=height, width=width, **arrays)
    return warp.warp(batch, matrices, fill=fill)[0, :, :, 0]


def changed(name, batch, **params):
    """Apply a pixel op to a batch: arrays are parameters per row, scalars for all rows."""
    op = registry.get(name)
    arrays = {
        key: np.broadcast_to(value, len(batch)).copy()
        for key, value in params.items()
        if key in op.params
    }
    settings = {key: value for key, value in params.items() if key not in op.params}
    return op.kernel(batch, **arrays, **(op.setting_values() | settings))
