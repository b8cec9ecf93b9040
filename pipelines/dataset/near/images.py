"""Near-duplicate images: a 288-byte sketch, a perceptual hash to find pairs, a fit to verify them.

Sketch: luma averaged to 16x16 cells and two colour differences to 4x4, so that any size compares.

Finding: signs of low-frequency cosine coefficients of a window (a DCT perceptual hash as in
Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). A reference
is hashed through many windows (mirrored, moved by up to 1/8 of the side, magnified), a query
through its middle one, with the signs it is least sure of tried both ways (multi-probe LSH: Lv
et al., "Multi-Probe LSH", VLDB 2007).

Verifying: one step of image registration explains the query's window by the reference's, moved
and magnified a little (`pipelines.dataset.near.registration`).

Whatever decides is computed on integers that float32 or float64 hold exactly, or element by
element: the same on every CPU.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.near.registration import band_passed, correlation, energy, fit

Array = NDArray[Any]

CELLS = 16
WINDOW = 12
SIZE = CELLS * CELLS + 2 * 4 * 4

_MARGIN = (CELLS - WINDOW) // 2
_INNER = slice(_MARGIN, -_MARGIN)
_WAVES = 8
_KEY_BITS = 22
_PROBED = 7
_CHUNK = 1024
# OpenBLAS starts threads above 2**18 multiplications, which two Beam workers would fight over.
_SMALL_PRODUCT = 1 << 17
_BLOCK = 256
# 256 times: luma (BT.601), half of red - green, half of blue - green.
_MIX = np.array([[77, 128, 0], [150, -128, -128], [29, 0, 128]])


@dataclass(frozen=True)
class ImageSketcher:
    """Sketches of images; see the module.

    The score is the explained share less what speaks against a pair. Tuned by eye and by planted
    images on CIFAR-10's training split (`benchmarks.leakage` has the figures):

    Attributes:
        min_score: Least score of a near-duplicate.
        min_correlation: Least cosine of the windows before any movement is fitted.
        max_tint: Largest difference of the mean colours, grey levels.
        per_level: Cost of a grey level of colour difference in the middle.
        contrast: Ratio of contrasts that costs nothing, and the cost of what is above.
        move: Cells of 1/16 of the side left to the fit that cost nothing, and the cost of more.
        growth: The same for magnification.
        smooth: Windows with less fine detail than the first number (`Fit.detail`) need a higher
            score, by the second number for each unit, down to the third: copies of digits or of
            enlarged pictures fit almost perfectly, but so do many that are none.
        stripes: Windows with less than the first number (`Fit.stripes`) need a higher score, by the
            second number for each unit: one ship on the horizon fits another.
        flat: Windows with less detail than this many grey levels (root mean square) show nothing
            to compare: then all cells must agree to `flat_level` grey levels.
        flat_level: See `flat`.
    """

    VERSION: ClassVar[int] = 2
    size: ClassVar[int] = SIZE
    key_bits: ClassVar[int] = _KEY_BITS
    max_distance: ClassVar[int] = 14

    min_score: float = 0.82
    min_correlation: float = 0.55
    max_tint: float = 8.0
    per_level: float = 0.01
    contrast: tuple[float, float] = (1.3, 0.12)
    move: tuple[float, float] = (1.0, 0.05)
    growth: tuple[float, float] = (0.12, 0.3)
    smooth: tuple[float, float, float] = (2.1, 0.17, 1.3)
    stripes: tuple[float, float] = (0.2, 0.7)
    flat: float = 1.0
    flat_level: int = 2

    def sketch(self, values: Array) -> Array:
        """Return uint8[N, 288] of uint8[N, H, W, C], C 1 or 3, any H and W."""
        images = np.asarray(values)
        n, height, width, channels = images.shape
        rows, row_total = _areas(height)
        columns, column_total = _columns(width, channels)
        total = row_total * column_total * 256
        exact = np.float32 if 255 * total < 1 << 24 else np.float64
        columns = columns.astype(exact)
        sketches = np.empty((n, SIZE), np.uint8)
        step = max(1, _CHUNK * 1024 * 3 // (height * width * channels))
        for low in range(0, n, step):
            part = images[low : low + step].reshape(-1, height, width * channels)
            sums = _row_sums(part, rows).astype(exact, copy=False)
            cells: Array = sums[..., :_BLOCK] @ columns[:_BLOCK]
            for k in range(_BLOCK, width * channels, _BLOCK):
                cells += sums[..., k : k + _BLOCK] @ columns[k : k + _BLOCK]
            luma: Array = np.floor(cells[..., :CELLS] / total + 0.5)
            colour: Array = cells[..., CELLS:].reshape(-1, 4, 4, 8).sum(2)
            out = sketches[low : low + step]
            out[:, : CELLS * CELLS] = luma.reshape(-1, CELLS * CELLS)
            out[:, CELLS * CELLS :] = np.floor(colour / (4 * total) + 128.5).reshape(-1, 32)
        return sketches

    def query_codes(self, sketches: Array) -> tuple[Array, Array]:
        """Return the keys uint32[N, P] to look up and the code uint64[N] of every row."""
        signs = np.arange(1 << _PROBED)[:, None] >> np.arange(_PROBED) & 1
        keys = np.empty((len(sketches), 1 << _PROBED), np.uint32)
        codes = np.empty(len(sketches), np.uint64)
        for low in range(0, len(sketches), _CHUNK):
            some = np.s_[low : low + _CHUNK]
            found = _coefficients(_luma(sketches[some]), _MIDDLE)[:, 0, 0]
            codes[some] = _packed(found)
            energy = found[:, _KEY_PLACES].astype(np.int64) ** 2 * _KEY_WEIGHTS
            order = np.argsort(energy, axis=1, kind="stable")[:, :_PROBED]
            flips = (1 << order) @ signs.T
            keys[some] = _keys(codes[some])[:, None] ^ flips.astype(np.uint32)
        return keys, codes

    def reference_codes(self, sketches: Array, *, moved: bool = True) -> tuple[Array, Array]:
        """Return the keys uint32[V, N] and codes uint64[V, N] of the windows of every row.

        These are all windows, or the middle one and its mirror image.
        """
        several = _WINDOWS if moved else (_MIDDLE,)
        codes = np.empty((len(sketches), len(self.variants(moved=moved))), np.uint64)
        for low in range(0, len(sketches), _CHUNK):
            luma = _luma(sketches[low : low + _CHUNK])
            parts = [
                _packed(_coefficients(seen, windows)).reshape(len(luma), -1)
                for seen in (luma, luma[:, :, ::-1])
                for windows in several
            ]
            codes[low : low + _CHUNK] = np.concatenate(parts, 1)
        codes = np.ascontiguousarray(codes.T)
        return _keys(codes), codes

    def variants(self, *, moved: bool) -> Array:
        """Return int64[V], the positions in `VARIANTS` of what `reference_codes` hashes."""
        return np.arange(len(VARIANTS)) if moved else _UNMOVED

    def prepare(self, sketches: Array) -> Prepared:
        """Return what `score` needs of rows."""
        n = len(sketches)
        luma = sketches[:, : CELLS * CELLS].reshape(n, CELLS, CELLS)
        colour = sketches[:, CELLS * CELLS :].reshape(n, 4, 4, 2)
        return Prepared(luma, colour, colour.sum((1, 2), dtype=np.int64).astype(np.int32))

    def score(
        self, query: Prepared, reference: Prepared, rows: Array, others: Array, variants: Array
    ) -> Array:
        """Return the scores float32[M] of candidates; 0 for what is not similar."""
        scores = np.zeros(len(rows), np.float32)
        for low in range(0, len(rows), _CHUNK):
            some = np.s_[low : low + _CHUNK]
            scores[some] = self._score(query, reference, rows[some], others[some], variants[some])
        return scores

    def similar(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return bool[N] and the scores float32[N]: is ``a[i]`` made of ``b[i]``?

        Every window of ``b`` is tried whose hash is near enough to that of ``a``.
        """
        _, codes = self.query_codes(a)
        _, windows = self.reference_codes(b)
        near = np.bitwise_count(windows ^ codes) <= self.max_distance
        variants, rows = np.nonzero(near)
        found = self.score(self.prepare(a), self.prepare(b), rows, rows, variants)
        scores = np.zeros(len(a), np.float32)
        np.maximum.at(scores, rows, found)
        return scores > 0, scores

    def _score(
        self, query: Prepared, reference: Prepared, rows: Array, others: Array, variants: Array
    ) -> Array:
        scores = np.zeros(len(rows), np.float32)
        tint = np.abs(query.tint[rows] - reference.tint[others]).max(1)
        left = np.nonzero(tint <= 16 * self.max_tint)[0]
        y = (_DOWN[variants[left]][:, None] + np.arange(WINDOW))[:, :, None]
        x = (_RIGHT[variants[left]][:, None] + np.arange(WINDOW))[:, None, :]
        x = np.where(_FLIPS[variants[left]][:, None, None], CELLS - 1 - x, x)
        seen = band_passed(reference.luma[others[left][:, None, None], y, x])
        wanted = band_passed(query.luma[rows[left], _INNER, _INNER])
        likely = correlation(wanted, seen) >= self.min_correlation
        likely |= energy(wanted) < self.flat**2
        left, wanted, seen = left[likely], wanted[likely], seen[likely]
        if not len(left):
            return scores
        rows, others, variants = rows[left], others[left], variants[left]
        colour = reference.colour[others]
        flip = _FLIPS[variants][:, None, None]
        colour = np.where(flip[..., None], colour[:, :, ::-1], colour)
        difference = _colour_difference(query.colour[rows], colour, variants)
        found = fit(wanted, seen)
        score = found.share - self.per_level * difference
        for value, (free, cost) in (
            (np.maximum(found.gain, 1 / np.maximum(found.gain, 1e-3)), self.contrast),
            (np.abs(found.moves).max(1), self.move),
            (np.abs(found.growth), self.growth),
        ):
            score -= cost * np.maximum(value - free, 0)
        most, slope, least = self.smooth
        need = self.min_score + slope * np.maximum(most - np.maximum(found.detail, least), 0)
        need += self.stripes[1] * np.maximum(self.stripes[0] - found.stripes, 0)
        need = np.minimum(need, 0.96)
        scores[left] = np.where(score >= need, score, 0)
        flat = np.nonzero(energy(wanted) < self.flat**2)[0]
        whole = reference.luma[others[flat]].astype(np.int16)
        whole = np.where(flip[flat], whole[:, :, ::-1], whole)
        levels = np.abs(query.luma[rows[flat]] - whole).max((1, 2), initial=0)
        same = (levels <= self.flat_level) & (difference[flat] <= self.flat_level)
        scores[left[flat]] = same
        return scores


@dataclass(frozen=True)
class Prepared:
    """Sketches as the fit reads them: luma [N, 16, 16], colour [N, 4, 4, 2], its sum [N, 2]."""

    luma: Array
    colour: Array
    tint: Array


@dataclass(frozen=True)
class Windows:
    """Windows at all pairs of offsets (cells, from the middle), of so much of the full size."""

    offsets: tuple[float, ...]
    scale: float


_MIDDLE = Windows((0.0,), 1.0)
# Whole cells and, between four of them, halves: no small movement is far from one of these.
_WINDOWS = (
    Windows((-2.0, -1.0, 0.0, 1.0, 2.0), 1.0),
    Windows((-1.5, -0.5, 0.5, 1.5), 1.0),
    Windows((-1.0, 0.0, 1.0), 0.94),
    Windows((-0.5, 0.5), 0.94),
)
VARIANTS = tuple(
    (flip, down, right, windows.scale)
    for flip in (False, True)
    for windows in _WINDOWS
    for right, down in product(windows.offsets, repeat=2)
)
"""What a reference is hashed as: mirrored or not, moved down and right, scale of the window."""

_UNMOVED = np.array(
    [i for i, (_, *at) in enumerate(VARIANTS) if at == [0.0, 0.0, _MIDDLE.scale]], np.int64
)
_FLIPS = np.array([flip for flip, *_ in VARIANTS])
_DOWN = np.array([math.floor(down) + _MARGIN for _, down, _, _ in VARIANTS])
_RIGHT = np.array([math.floor(right) + _MARGIN for _, _, right, _ in VARIANTS])

# A colour cell is four luma cells.
_EIGHTHS = np.array([[round(2 * down), round(2 * right)] for _, down, right, _ in VARIANTS])

# Bit 8 j + i of a code is the sign at i half-waves down and j to the right; the key takes the
# lowest frequencies. Functions constant in one direction weigh half as much as they should.
_BY_FREQUENCY = sorted(product(range(_WAVES), repeat=2), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))
_KEY_PLACES = np.array([_WAVES * j + i for j, i in _BY_FREQUENCY[1 : _KEY_BITS + 1]])
_KEY_WEIGHTS = np.array(
    [(1 + (j == 0)) * (1 + (i == 0)) for j, i in _BY_FREQUENCY[1 : _KEY_BITS + 1]]
)


def _areas(length: int) -> tuple[Array, int]:
    """Return weights int[16, length] of an area average, and the sum of each row."""
    unit = math.gcd(length, CELLS)
    span, total = CELLS // unit, length // unit
    start = np.arange(length) * span
    low = np.maximum(start, np.arange(CELLS)[:, None] * total)
    high = np.minimum(start + span, np.arange(1, CELLS + 1)[:, None] * total)
    return np.maximum(high - low, 0), total


def _row_sums(part: Array, weights: Array) -> Array:
    """Return float32[N, 16, K], weighted sums of the rows of uint8[N, H, K]; exact."""
    if CELLS * part[0].size <= _SMALL_PRODUCT:
        return weights.astype(np.float32) @ part.astype(np.float32)
    sums = np.empty((len(part), CELLS, part.shape[2]), np.float32)
    for cell, row in enumerate(weights):
        used = np.nonzero(row)[0]
        whole = used[row[used] == row.max()]
        rows = part[:, whole[0] : whole[-1] + 1].sum(1, dtype=np.uint32)
        sums[:, cell] = rows * int(row.max())
        for i in np.setdiff1d(used, whole):
            sums[:, cell] += part[:, i] * np.float32(row[i])
    return sums


def _columns(width: int, channels: int) -> tuple[Array, int]:
    """Return weights int[W * C, 16 + 8]: luma of 16 columns, two colour differences of 4."""
    weights, total = _areas(width)
    mix = _MIX if channels == 3 else np.array([[256, 0, 0]])
    luma = np.einsum("ow,c->wco", weights, mix[:, 0])
    coarse = weights.reshape(4, 4, width).sum(1)
    colour = np.einsum("ow,ck->wcok", coarse, mix[:, 1:])
    # A colour cell covers 4x4 luma cells: its 4 columns here, its 4 rows in `sketch`.
    parts = [4 * luma.reshape(width * channels, CELLS), colour.reshape(width * channels, 8)]
    return np.concatenate(parts, 1), 4 * total


def _coefficients(luma: Array, windows: Windows) -> Array:
    """Return float32[N, offsets right, offsets down, 64] of integers: cosine coefficients.

    They do not depend on brightness: but for the constant one, the functions sum to 0.
    """
    n, count = len(luma), len(windows.offsets)
    waves = _waves(windows)
    # One small product per image: BLAS would spend more on threads than on larger ones.
    across = (luma @ waves).transpose(0, 2, 1)
    both = (across @ waves).reshape(n, count, _WAVES, count, _WAVES).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(both).reshape(n, count, count, _WAVES * _WAVES)


@functools.cache
def _waves(windows: Windows) -> Array:
    """Return float32[16, offsets * 8]: 16 times the cosines over a window, as integers."""
    columns = []
    for offset, wave in product(windows.offsets, range(_WAVES)):
        start = CELLS / 2 + offset + (np.arange(WINDOW) - WINDOW / 2) * windows.scale
        cells = np.arange(CELLS)
        high = np.minimum(start[:, None] + windows.scale, cells + 1)
        overlap = np.maximum(high - np.maximum(start[:, None], cells), 0) / windows.scale
        angles = [math.pi * (2 * i + 1) * wave / (2 * WINDOW) for i in range(WINDOW)]
        exact = np.array([math.cos(a) for a in angles]) @ overlap * 16
        column = np.rint(np.round(exact, 6))
        if wave:
            support = np.nonzero(overlap.sum(0))[0]
            excess = int(column.sum())
            spread = np.linspace(0, len(support), abs(excess), endpoint=False).astype(int)
            np.subtract.at(column, support[spread], np.sign(excess))
        columns.append(column)
    return np.array(columns, np.float32).T.copy()


def _luma(sketches: Array) -> Array:
    """Return float32[N, 16, 16]."""
    return sketches[:, : CELLS * CELLS].astype(np.float32).reshape(-1, CELLS, CELLS)


def _packed(found: Array) -> Array:
    """Return the signs of coefficients [..., 64] as uint64[...]; that of the mean is 0."""
    bits = found > 0
    bits[..., 0] = False
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return packed.view("<u8")[..., 0].astype(np.uint64)


def _keys(codes: Array) -> Array:
    """Return the key of every code: the bits of the lowest frequencies."""
    keys = np.zeros(codes.shape, np.uint32)
    for bit, place in enumerate(_KEY_PLACES):
        keys |= ((codes >> np.uint64(place)) & np.uint64(1)).astype(np.uint32) << np.uint32(bit)
    return keys


def _colour_difference(query: Array, reference: Array, variants: Array) -> Array:
    """Return float64[M]: mean difference of the middle 2x2 colour cells, grey levels.

    The reference uint8[M, 4, 4, 2] is moved as its window is, between cells linearly.
    """
    cells, every = reference.astype(np.int32), np.arange(len(query))
    down, right = _EIGHTHS[variants].T
    near, far = np.sign(down), np.abs(down)[:, None, None]
    cells = np.stack(
        [cells[every, i] * (8 - far) + cells[every, i + near] * far for i in (1, 2)], 1
    )
    near, far = np.sign(right), np.abs(right)[:, None, None]
    cells = np.stack(
        [cells[every, :, i] * (8 - far) + cells[every, :, i + near] * far for i in (1, 2)], 2
    )
    middle = query[:, 1:3, 1:3].astype(np.int32) * 64
    difference: Array = np.abs(middle - cells).sum((1, 2, 3)) / (8 * 64)
    return difference
