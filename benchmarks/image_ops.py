"""Speed of the image ops and policies, against other libraries on the same images."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.process import Peer, peer
from benchmarks.policies import CLASSIC, FOUR_OPS
from benchmarks.result import Measured
from benchmarks.side_by_side import table_lines as table_lines
from benchmarks.timing import one_core
from pipelines.augment.policy import Policy, parse_policy
from pipelines.dataset.images import decode_image
from pipelines.dataset.sources import open_source
from schemas.errors import FailedError
from schemas.recipe import load_recipe

SEED = 20261124
SIDES = (32, 224)
PEERS = {
    "albumentations": ("albumentations", "images"),
    "image_data_generator": ("keras_generator", None),
}
"""Key of the figures to the peer's script and environment."""

_SHOWN = {"albumentations": "albumentations", "image_data_generator": "ImageDataGenerator"}
FIGURES = {
    f"{key}_{side}": (unit, f"{meaning}, {side}x{side}")
    for side in SIDES
    for key, unit, meaning in (
        ("images_per_s", "images/s", "ours on one core"),
        *((f"vs_{name}", "times", f"ours against {shown}") for name, shown in _SHOWN.items()),
    )
}

COLOUR = FOUR_OPS["slots"][4:8]


def policies(side: int) -> dict[str, Policy]:
    """Return what is measured: each op by itself, then whole policies."""
    eighth = round(side / 8)
    slots: dict[str, list[Any]] = {
        "flip_horizontal": [{"op": "flip_horizontal", "probability": 0.5}],
        "rotate": [{"op": "rotate", "degrees": 15, "fill": "reflect"}],
        "random_crop": [{"op": "random_crop", "x": eighth, "y": eighth}],
        "random_resized_crop": ["random_resized_crop"],
        "centre_crop": ["centre_crop"],
        "perspective": ["perspective"],
        "elastic": ["elastic"],
        "blur_box": ["blur_box"],
        "blur_gaussian": ["blur_gaussian"],
        "blur_median": ["blur_median"],
        "blur_motion": ["blur_motion"],
        "gaussian_noise": ["gaussian_noise"],
        "shot_noise": ["shot_noise"],
        "speckle_noise": ["speckle_noise"],
        "salt_and_pepper": ["salt_and_pepper"],
        "brightness": ["brightness"],
        "contrast_mean": ["contrast_mean"],
        "saturation": ["saturation"],
        "hue": ["hue"],
        "hue, saturation, brightness, contrast": COLOUR,
        "greyscale": ["greyscale"],
        "channel_shuffle": ["channel_shuffle"],
        "invert": ["invert"],
        "gamma": ["gamma"],
        "posterize": ["posterize"],
        "solarize": ["solarize"],
        "equalize": ["equalize"],
        "autocontrast": ["autocontrast"],
        "sharpness": ["sharpness"],
        "jpeg": ["jpeg"],
        "pixelate": ["pixelate"],
        "cutout": ["cutout"],
        "random_erasing": ["random_erasing"],
        "grid_mask": ["grid_mask"],
        "mixup": ["mixup"],
        "cutmix": ["cutmix"],
    }
    mappings = {name: {"slots": some} for name, some in slots.items()}
    mappings |= {"classic": CLASSIC, "4 ops": FOUR_OPS}
    mappings |= {one: {"preset": one} for one in ("randaugment", "trivialaugment", "augmix")}
    return {name: parse_policy(mapping, "image") for name, mapping in mappings.items()}


def measure(*, quick: bool) -> Measured:
    """Measure on CIFAR-10 (digits without ``TFDS_DATA_DIR``) and on pieces of two photographs."""
    counts, runs = ({32: 200, 224: 6}, 2) if quick else ({32: 2000, 224: 64}, 5)
    figures: dict[str, Any] = {key: {} for key in FIGURES}
    source, small = _small(counts[32])
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, one_core():
        for side, images in ((32, small), (224, _photographs(counts[224], 224))):
            path = Path(folder) / f"images{side}.npy"
            np.save(path, images)
            with _peers({} if quick else PEERS, path) as peers:
                for key, values in _speeds(policies(side), images, peers, runs).items():
                    figures[f"{key}_{side}"] = values
                for one in peers.values():
                    versions |= one.versions
    against = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    conditions = {
        "images": (
            f"{counts[32]:,} of {source} (32x32x3), {counts[224]} pieces of scikit-learn's two "
            "sample photographs (224x224x3); the same arrays for all, in memory"
        ),
        "ours": "Policy.apply on the whole array: draws, kernels and the trace of parameters",
        "peers": (
            f"{against}; each in its own process, called as its users do: one image at a time "
            "through Compose, or batches of 64 from flow(). A ratio above 1 means ours is faster"
            if versions
            else "left out by --quick"
        ),
        "runs": "one pinned core, one thread each, CPU time, alternating; ratios per pair of runs",
        "settings": (
            "the same ranges; where a peer has no such parameter, its nearest: perspective and "
            "elastic (other displacements), sharpness (another kernel), speckle_noise (uniform), "
            "pixelate (Downscale)"
        ),
    }
    return Measured(runs=figures, conditions=conditions, seeds={"policy": SEED})


@contextlib.contextmanager
def _peers(wanted: dict[str, tuple[str, str | None]], images: Path) -> Iterator[dict[str, Peer]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(peer(script, environment, {"images": str(images)}))
            for name, (script, environment) in wanted.items()
        }


def _speeds(
    measured: dict[str, Policy], images: np.ndarray, peers: dict[str, Peer], runs: int
) -> dict[str, dict[str, list[float]]]:
    """Return per figure and policy the value of every run."""
    keys = [f"train-{i:08d}" for i in range(len(images))]
    found: dict[str, dict[str, list[float]]] = {"images_per_s": {}}
    for name, one in peers.items():
        unknown = sorted(set(one.names) - set(measured))
        if unknown:
            raise FailedError(f"{name} measures {unknown}, which we do not.")
        found[f"vs_{name}"] = {}
    for name, policy in measured.items():
        able = {peer_name: one for peer_name, one in peers.items() if name in one.names}
        gc.collect()
        for run in range(runs + 1):  # the first warms up
            start = time.process_time()
            policy.apply(images, keys, seed=SEED, copy=run + 1)
            ours = time.process_time() - start
            theirs = {peer_name: one.cpu_seconds(name)[0] for peer_name, one in able.items()}
            if run:
                found["images_per_s"].setdefault(name, []).append(len(images) / ours)
                for peer_name, seconds in theirs.items():
                    found[f"vs_{peer_name}"].setdefault(name, []).append(seconds / ours)
    return found


def _small(count: int) -> tuple[str, np.ndarray]:
    """Return the first images of the training split, and whose they are."""
    data = os.environ.get("TFDS_DATA_DIR")
    name = "cifar10" if data and (Path(data) / "cifar10").is_dir() else "digits"
    source = open_source(load_recipe(name).recipe)
    values = (record.value for record in source.read("train", 0, count))
    return name, np.stack([decode_image(v, 3) if isinstance(v, bytes) else v for v in values])


def _photographs(count: int, side: int) -> np.ndarray:
    """Return square pieces of scikit-learn's photographs: ``uint8[count, side, side, 3]``."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    rng = np.random.default_rng(SEED)
    pieces = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        top, left = (int(rng.integers(length - side)) for length in photograph.shape[:2])
        pieces.append(photograph[top : top + side, left : left + side])
    return np.stack(pieces)
