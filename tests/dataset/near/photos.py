"""Real photographs without a download: pieces of scikit-learn's two sample pictures."""

import functools

import cv2
import numpy as np


@functools.cache
def patches(size=32):
    """Return uint8[N, size, size, 3], pieces that do not overlap, those without detail left out."""
    from sklearn.datasets import load_sample_images

    pieces = []
    for picture in load_sample_images().images:
        small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        for y in range(0, small.shape[0] - size + 1, size):
            for x in range(0, small.shape[1] - size + 1, size):
                pieces.append(small[y : y + size, x : x + size])
    found = np.stack(pieces)
    detailed = found.std(axis=(1, 2)).mean(1) > 15
    found = found[detailed]
    found.setflags(write=False)
    return found


def cropped(image, down, right):
    """Return an image moved by pixels over a black border, as a padded crop does."""
    moved = np.zeros_like(image)
    h, w = image.shape[:2]
    ys, yd = max(down, 0), max(-down, 0)
    xs, xd = max(right, 0), max(-right, 0)
    moved[yd : h - ys, xd : w - xs] = image[ys : h - yd, xs : w - xd]
    return moved
