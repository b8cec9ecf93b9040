"""Words and word pairs weighted by naive Bayes: a strong linear teacher for texts.

Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification" (2012):
whether a document holds an n-gram counts, not how often; every n-gram is scaled by the log-count
ratio of a class against the others; logistic regression weighs the scaled n-grams.

A document's answer comes from a model that was fitted without it and without its copies: answers
to what a model was fitted on are overconfident, and a student would learn little more from them
than from the labels.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from schemas.errors import InputError
from schemas.teaching import NgramConfig
from schemas.text import tokens


class NgramModel:
    """One logistic regression per class, or one in all for two classes.

    Args:
        texts: Training documents.
        labels: Their classes, ``int[N]``.
        classes: Number of classes.
        config: How n-grams are counted, smoothed and weighed.
    """

    def __init__(
        self, texts: Sequence[str], labels: np.ndarray, classes: int, config: NgramConfig
    ) -> None:
        self._vectorizer = CountVectorizer(
            analyzer=_analyzer(config.ngrams), min_df=config.minimum, binary=True, dtype=np.float32
        )
        try:
            present = self._vectorizer.fit_transform(texts)
        except ValueError as error:
            raise InputError(
                f"no n-gram is in {config.minimum} training documents: lower minimum, or take more "
                "examples"
            ) from error
        targets = [labels == one for one in (range(classes) if classes > 2 else [1])]
        ratios = [_log_count_ratio(present, target, config.smoothing) for target in targets]
        fitted = [
            _regression(present, target, ratio, config.strength)
            for target, ratio in zip(targets, ratios, strict=True)
        ]
        self._weights = np.stack(
            [ratio * weights for ratio, (weights, _) in zip(ratios, fitted, strict=True)], axis=1
        )
        self._intercepts = np.array([intercept for _, intercept in fitted])

    @property
    def parameters(self) -> int:
        """Number of weights and intercepts."""
        return self._weights.size + self._intercepts.size

    def weights(self) -> dict[str, np.ndarray]:
        """Return the arrays that decide its answers, and the n-grams they belong to."""
        names = "\n".join(self._vectorizer.get_feature_names_out())
        return {
            "ngrams": np.frombuffer(names.encode(), np.uint8),
            "weights": self._weights,
            "intercepts": self._intercepts,
        }

    def importance(self) -> dict[str, float]:
        """Return the largest absolute weight of each n-gram, over the classes."""
        largest = np.abs(self._weights).max(axis=1).tolist()
        return dict(zip(self._vectorizer.get_feature_names_out().tolist(), largest, strict=True))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return ``float32[N, classes]``.

        For two classes their softmax is the logistic regression's probability; for more they are
        each class's own log-odds against the others.
        """
        margins = self._vectorizer.transform(texts) @ self._weights + self._intercepts
        if margins.shape[1] == 1:
            margins = np.concatenate([-margins / 2, margins / 2], axis=1)
        return margins.astype(np.float32)


def fold_of(keys: Sequence[bytes], folds: int) -> np.ndarray:
    """Return the fold of each key, ``int[N]``: copies have their original's key, so its fold."""
    hashes = (hashlib.blake2b(key, digest_size=8, person=b"ngram.folds") for key in keys)
    return np.array([int.from_bytes(one.digest(), "big") % folds for one in hashes])


def out_of_fold(
    texts: Sequence[str],
    labels: np.ndarray,
    keys: Sequence[bytes],
    classes: int,
    config: NgramConfig,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[np.ndarray, list[NgramModel]]:
    """Return ``float32[N, classes]``, each row from a model without that key, and the models.

    Args:
        texts: Documents, copies included.
        labels: Their classes, ``int[N]``.
        keys: Their keys; copies share their original's.
        classes: Number of classes.
        config: Of the models.
        progress: Called with one line of text per fold.

    Raises:
        InputError: a fold is empty, or leaves too few documents of a class to fit.
    """
    folds = fold_of(keys, config.folds)
    logits = np.zeros((len(texts), classes), np.float32)
    models = []
    for fold in range(config.folds):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        missing = sorted(set(range(classes)) - set(labels[outside].tolist()))
        if not len(inside) or missing:
            raise InputError(
                f"{len(set(keys))} training documents do not fill {config.folds} folds of all "
                f"{classes} classes: lower folds, or take more examples"
            )
        model = NgramModel([texts[one] for one in outside], labels[outside], classes, config)
        logits[inside] = model.logits([texts[one] for one in inside])
        right = float((logits[inside].argmax(axis=1) == labels[inside]).mean())
        progress(
            f"fold {fold + 1}/{config.folds}  {model.parameters:,} weights  "
            f"accuracy on the fold {right:.4f}"
        )
        models.append(model)
    return logits, models


def _analyzer(longest: int) -> Callable[[str], list[str]]:
    def ngrams(text: str) -> list[str]:
        words = tokens(text)
        found = list(words)
        for length in range(2, longest + 1):
            shifted = [words[start:] for start in range(length)]
            found += map(" ".join, zip(*shifted, strict=False))
        return found

    return ngrams


def _log_count_ratio(
    present: sparse.csr_matrix, target: np.ndarray, smoothing: float
) -> np.ndarray:
    """Return ``log((p / |p|) / (q / |q|))`` with p and q the smoothed counts, ``float64[n]``."""
    inside = (
        smoothing + np.asarray(present[np.flatnonzero(target)].sum(axis=0, dtype=np.float64))[0]
    )
    others = (
        smoothing + np.asarray(present[np.flatnonzero(~target)].sum(axis=0, dtype=np.float64))[0]
    )
    return np.log(inside / inside.sum()) - np.log(others / others.sum())


def _regression(
    present: sparse.csr_matrix, target: np.ndarray, ratio: np.ndarray, strength: float
) -> tuple[np.ndarray, float]:
    """Return the weights ``float64[n]`` and the intercept for the scaled n-grams."""
    scaled = present @ sparse.diags_array(ratio.astype(np.float32), format="csr")
    model = LogisticRegression(C=strength, solver="liblinear", dual=True, random_state=0, tol=0.01)
    model.fit(scaled, target)
    return model.coef_[0], float(model.intercept_[0])
