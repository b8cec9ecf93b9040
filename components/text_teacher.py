"""The stage that stores the answers of `components.ngrams`, out of fold.

Such a teacher is no network: nothing but its answers to the training examples is kept.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.data import Data, shard_records
from components.evaluate import judge
from components.ngrams import NgramModel, out_of_fold
from components.signal_store import publish, shards_to_score, stamp_of, write_shard
from components.signals import Answers
from components.train import Context
from schemas.canonical import digest
from schemas.errors import InputError
from schemas.manifest import ShardInfo
from schemas.stages import config_settings
from schemas.teaching import NgramConfig

_BLOCK = 1024


@dataclass(frozen=True)
class Texts:
    """Stored examples: texts, labels ``int64[N]``, and keys that copies share."""

    texts: list[str]
    labels: np.ndarray
    keys: list[bytes]


def run(context: Context, config: NgramConfig, folder: Path) -> dict[str, Any]:
    """Store the n-gram teacher's answers in ``folder``; return what is known of the teacher.

    Its accuracy is that of the folds' models together on the eval split, which none of them saw.

    Raises:
        InputError: the dataset holds no texts, or too few.
    """
    data = context.data
    if data.schema.modality != "text":
        raise InputError(f"ngrams teaches texts, not {data.schema.modality} examples: use train")
    shards = shards_to_score(data, config.copies)
    train = read_texts(data, shards)
    logits, models = out_of_fold(
        train.texts,
        train.labels,
        train.keys,
        len(data.schema.label_names),
        config,
        context.progress,
    )
    teacher = _digest(models, config)
    ends = np.cumsum([shard.examples for shard in shards])
    for shard, end in zip(shards, ends, strict=True):
        stamp = stamp_of(data, shard, teacher, {}, "none")
        write_shard(folder, shard, Answers(logits[end - shard.examples : end]), stamp)
    manifest = publish(folder, data, shards, teacher=teacher)
    held_out = read_texts(data, [one for one in data.of("eval", 0) if one.examples])
    together = np.mean([model.logits(held_out.texts) for model in models], axis=0)
    scores = judge(together, held_out.labels)
    context.notes["out_of_fold_accuracy"] = judge(logits, train.labels, split="train").accuracy
    return {
        "accuracy": scores.accuracy,
        "loss": scores.loss,
        "examples": scores.examples,
        "parameters": sum(model.parameters for model in models),
        "digest": manifest.digest,
    }


def read_texts(data: Data, shards: list[ShardInfo]) -> Texts:
    """Read text shards, one after the other."""
    feature = data.schema.feature
    spec = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        feature: tf.io.FixedLenFeature([], tf.string),
    }
    texts: list[str] = []
    labels: list[int] = []
    keys: list[bytes] = []
    for shard in shards:
        rows = shard_records(data, [shard]).batch(_BLOCK)
        for fields in rows.map(lambda some: tf.io.parse_example(some, spec)).as_numpy_iterator():
            texts += [one.decode("utf-8") for one in fields[feature]]
            labels += fields["label"].tolist()
            keys += fields["key"].tolist()
    return Texts(texts, np.array(labels, np.int64), keys)


def _digest(models: list[NgramModel], config: NgramConfig) -> str:
    """Return one digest over the n-grams and weights of all models."""
    hasher = hashlib.sha256()
    for model in models:
        for name, array in model.weights().items():
            hasher.update(f"{name} {array.shape} {array.dtype}".encode())
            hasher.update(np.ascontiguousarray(array).tobytes())
    return digest({"config": config_settings(config), "weights": hasher.hexdigest()})
