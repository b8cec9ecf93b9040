"""The policies that benchmarks measure, as recipes write them."""

from __future__ import annotations

from typing import Any

CLASSIC: dict[str, Any] = {"preset": "classic"}

FOUR_OPS: dict[str, Any] = {
    "slots": [
        # geometry, one warp
        {"op": "flip_horizontal", "probability": 0.5},
        {"op": "rotate", "degrees": 15},
        {"op": "shift", "x": 0.1, "y": 0.1},
        {"op": "zoom", "x": 0.1, "y": 0.1},
        # colour, one matrix
        {"op": "hue", "degrees": 18},
        {"op": "saturation", "factor": 0.3},
        {"op": "brightness", "factor": 0.2},
        {"op": "contrast", "factor": 0.2},
        # noise
        {"op": "gaussian_noise", "sigma": [0, 16]},
        # occlusion
        {"op": "cutout", "size": [0.25, 0.5]},
    ]
}

POLICIES = {"classic": CLASSIC, "4 ops": FOUR_OPS}
