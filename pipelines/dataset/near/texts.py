"""Near-duplicate texts: MinHash of pairs of neighbouring words, found by bands.

Sketch: Broder, "On the resemblance and containment of documents", 1997. Bands: Leskovec et al.,
"Mining of Massive Datasets", section 3.4. Candidates are verified by the estimated Jaccard
similarity, or by containment where one text is a part of the other.

Case, punctuation, HTML tags and entities and Unicode forms do not count. The signatures are
datasketch's; look-up is `pipelines.dataset.near.index`'s, the same for images.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HASHES = 128
SIZE = 4 * (HASHES + 1)

_SEED = 1
_BAND = 3
_BANDS = HASHES // _BAND
_KEY_BITS = 22
_CHUNK = 4096
_TAG = re.compile(r"<[^<>]{1,200}>")
# Scripts without spaces give a word per character.
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")


@dataclass(frozen=True)
class TextSketcher:
    """Sketches of texts; see the module.

    Thresholds, tuned on IMDB's training reviews (`benchmarks.leakage` has the figures):

    Attributes:
        min_jaccard: Least estimated Jaccard similarity of the sets of word pairs.
        contained: Share of the shorter text's word pairs that makes it a part of the longer,
        contained_jaccard: if the similarity is at least this.
        short: Texts of fewer word pairs need `short_jaccard`.
        short_jaccard: See `short`.
    """

    VERSION: ClassVar[int] = 2
    size: ClassVar[int] = SIZE
    key_bits: ClassVar[int] = _KEY_BITS
    max_distance: ClassVar[int] = 0

    min_jaccard: float = 0.35
    contained: float = 0.8
    contained_jaccard: float = 0.2
    short: int = 8
    short_jaccard: float = 0.8

    def sketch(self, values: Sequence[str]) -> Array:
        """Return uint8[N, 516]: 128 minima and the number of distinct word pairs, uint32 each."""
        from datasketch import MinHash

        table = _Hashes()
        sketches = np.zeros((len(values), HASHES + 1), "<u4")
        shingles = [_shingles(text, table) for text in values]
        sketches[:, HASHES] = [len(some) for some in shingles]
        lists = (some.tolist() for some in shingles)
        made = MinHash.generator(
            lists, num_perm=HASHES, seed=_SEED, hashfunc=int, scheme="affine32"
        )
        for row, one in zip(sketches, made, strict=True):
            row[:HASHES] = one.hashvalues
        return sketches.view(np.uint8)

    def query_codes(self, sketches: Array) -> tuple[Array, Array]:
        """Return the keys uint32[N, 42] to look up and the codes uint64[N, 42]: one per band."""
        minima, _ = _parts(sketches)
        values = minima[:, : _BANDS * _BAND].reshape(-1, _BANDS, _BAND).astype(np.uint64)
        codes = np.zeros(values.shape[:2], np.uint64) + np.arange(1, _BANDS + 1, dtype=np.uint64)
        for i in range(_BAND):
            codes = _mixed(codes ^ values[:, :, i])
        return (codes >> np.uint64(64 - _KEY_BITS)).astype(np.uint32), codes

    def reference_codes(self, sketches: Array, *, moved: bool = True) -> tuple[Array, Array]:
        """Return the keys uint32[42, N] and codes uint64[42, N] of every row."""
        del moved
        keys, codes = self.query_codes(sketches)
        return np.ascontiguousarray(keys.T), np.ascontiguousarray(codes.T)

    def variants(self, *, moved: bool) -> Array:
        """Return int64[42], the number of each band."""
        del moved
        return np.arange(_BANDS)

    def prepare(self, sketches: Array) -> Array:
        """Return what `score` needs of rows."""
        return sketches

    def score(
        self, query: Array, reference: Array, rows: Array, others: Array, variants: Array
    ) -> Array:
        """Return the scores float32[M] of candidates (a pair for each of its bands)."""
        del variants
        pairs, inverse = np.unique(rows * len(reference) + others, return_inverse=True)
        rows, others = np.divmod(pairs, max(len(reference), 1))
        scores = np.zeros(len(pairs), np.float32)
        for low in range(0, len(pairs), _CHUNK):
            some = np.s_[low : low + _CHUNK]
            scores[some] = self.similar(query[rows[some]], reference[others[some]])[1]
        return scores[inverse.ravel()]

    def similar(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return bool[N] and the scores float32[N] of pairs: the similarity, 0 if too small."""
        (minima, sizes), (others, other_sizes) = _parts(a), _parts(b)
        jaccard = (minima == others).sum(1) / HASHES
        smaller = np.minimum(sizes, other_sizes).astype(np.int64)
        both = sizes.astype(np.int64) + other_sizes
        contained = jaccard * both / ((1 + jaccard) * np.maximum(smaller, 1))
        good = jaccard >= self.min_jaccard
        good |= (contained >= self.contained) & (jaccard >= self.contained_jaccard)
        good &= (smaller >= self.short) | (jaccard >= self.short_jaccard)
        return good, np.where(good, jaccard, 0).astype(np.float32)


def words_of(text: str) -> list[str]:
    """Return the words that count, in order: ``<b>Don't</b>`` gives don, t."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    text = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(text)


class _Hashes(dict[str, int]):
    """Word to 32-bit hash, filled as words come."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value


def _shingles(text: str, table: _Hashes) -> Array:
    """Return the distinct hashes of neighbouring words uint32[N]; of a lone word its own."""
    found: Iterable[int] = map(table.__getitem__, words_of(text))
    hashes = np.fromiter(found, np.uint32)
    if len(hashes) > 1:
        hashes = hashes[:-1] * np.uint32(0x9E3779B1) + hashes[1:]
    return np.unique(hashes)


def _parts(sketches: Array) -> tuple[Array, Array]:
    """Return minima uint32[N, 128] and sizes uint32[N]."""
    values = np.ascontiguousarray(sketches).view("<u4")
    return values[:, :HASHES], values[:, HASHES]


def _mixed(values: Array) -> Array:
    """Return uint64 mixed by MurmurHash3's finalizer."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: Array = values ^ (values >> np.uint64(33))
    return mixed
