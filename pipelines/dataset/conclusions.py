"""What follows from the survey of all slices: the files that tell it, and the decisions."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.augment.text import ngrams
from pipelines.dataset import near
from pipelines.dataset.balance import Balance, ranks_of
from pipelines.dataset.decisions import Decisions, Nearest
from pipelines.dataset.shards import Leak, Seen
from pipelines.dataset.slices import Job
from pipelines.dataset.store import NEAR_DUPLICATES, SURVEY, VOCABULARY
from pipelines.dataset.survey import Totals, statistics, vocabulary

_NEAR_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("split", pa.string()),
        ("copy", pa.int64()),
        ("other_key", pa.string()),
        ("other_split", pa.string()),
        ("score", pa.float32()),
        ("by", pa.string()),
        ("dropped", pa.bool_()),
    ]
)

Pairs = tuple[near.Pair, ...]


@dataclass(frozen=True)
class Leakage:
    """What is known of the training examples that resemble eval or test examples.

    Attributes:
        counts: What ``manifest.json`` and ``survey.json`` say of it: ``mode``; training originals,
            their copies, and copies alone that leak; eval and test examples that originals
            resemble; ``leaking``, those that anything stored resembles, and ``not_compared``, those
            of which nothing is known because too many others are like them.
        rows: Those of ``near_duplicates.parquet``.
    """

    counts: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def table(self) -> bytes:
        """Return ``near_duplicates.parquet``."""
        sink = io.BytesIO()
        table = pa.Table.from_pylist(self.rows, schema=_NEAR_SCHEMA)
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The survey of a whole dataset.

    Attributes:
        statistics: What ``survey.json`` says of counts, channels and duplicates.
        vocabulary: Lines of ``vocabulary.txt``; empty for images.
        pairs: Near-duplicates among the originals, sorted.
        capped: Candidate pairs that were not compared, for their group was too large.
        decisions: What the shard tasks must agree on.
    """

    statistics: dict[str, Any]
    vocabulary: tuple[str, ...]
    pairs: Pairs
    capped: int
    decisions: Decisions

    def to_files(self, job: Job, leakage: Leakage | None) -> dict[str, bytes]:
        """Return the files of the dataset that tell the survey.

        Args:
            job: What all tasks share.
            leakage: What `leakage` returns.
        """
        content = dict(self.statistics)
        made = self.decisions.to_files()
        if leakage is not None:
            content["near_duplicates"] = self._pairs()
            content["leakage"] = leakage.counts
            made[NEAR_DUPLICATES] = leakage.table
        if self.decisions.balance is not None:
            content["balance"] = {
                "kind": self.decisions.balance.kind,
                "training_examples": dict(
                    zip(job.schema.label_names, self.decisions.balance.counts, strict=True)
                ),
            }
        made[SURVEY] = _json(content)
        if self.vocabulary:
            made[VOCABULARY] = "".join(f"{word}\n" for word in self.vocabulary).encode("utf-8")
        return made

    def leakage(self, job: Job, leaks: Sequence[Leak], seen: Seen) -> Leakage | None:
        """Return what is known of leakage, or None where it is not looked for.

        Args:
            job: What all tasks share.
            leaks: The augmented copies that were found to leak.
            seen: What the stored training examples are like.
        """
        if job.leakage == "off":
            return None
        rows = self._near_duplicates(job, leaks)
        stored = [row for row in rows if row["split"] == "train" and not row["dropped"]]
        originals = [row for row in rows if row["split"] == "train" and not row["copy"]]
        touched, leaking = _others(originals), _others(stored)
        unknown: set[tuple[str, str]] = set()
        held = self.decisions.reference
        if held is not None:
            touched = held.with_equals(touched)
            leaking = held.with_equals(leaking | {held.name(at) for at in seen.alike})
            unknown = {held.name(at) for at in seen.left_out} - leaking
        by = Counter(leak.by for leak in leaks)
        counts = {
            "mode": job.leakage,
            "training_originals": len(self.decisions.leaking),
            "copies_by_parent": by["parent"],
            "copies_by_content": by["content"],
        }
        some = {"examples": touched, "leaking": leaking, "not_compared": unknown}
        for name, found in some.items():
            for held_out in ("eval", "test"):
                counts[f"{held_out}_{name}"] = sum(split == held_out for split, _ in found)
        return Leakage(counts, rows)

    def _pairs(self) -> dict[str, Any]:
        inside = [pair for pair in self.pairs if pair.a[0] == pair.b[0] == "train"]
        return {
            "pairs": len(self.pairs),
            "pairs_inside_training": len(inside),
            "groups_inside_training": len(near.groups(inside)),
            "pairs_across_splits": sum(pair.a[0] != pair.b[0] for pair in self.pairs),
            "candidates_not_compared": self.capped,
        }

    def _near_duplicates(self, job: Job, leaks: Sequence[Leak]) -> list[dict[str, Any]]:
        dropping = job.leakage == "drop"
        rows = []
        for pair in self.pairs:
            (split, key), (other_split, other) = _training_first(pair)
            gone = dropping and split == "train" and other_split != "train"
            rows.append((key, split, 0, other, other_split, _rounded(pair.score), "original", gone))
        for leak in leaks:
            found = (leak.key, "train", leak.copy, leak.other, leak.split, leak.score, leak.by)
            rows.append((*found, dropping))
        return [dict(zip(_NEAR_SCHEMA.names, row, strict=True)) for row in rows]


def conclude(
    job: Job,
    totals: Totals,
    groups: Iterable[list[tuple[str, str]]],
    found: Iterable[tuple[Sequence[near.Pair], int]],
) -> Survey:
    """Return the survey of a dataset.

    Args:
        job: What all tasks share.
        totals: Of all slices.
        groups: Equal examples.
        found: Near-duplicates, and candidates that were given up, of every part.
    """
    parts = list(found)
    pairs = tuple(sorted({(one.a, one.b): one for some, _ in parts for one in some}.values()))
    capped = sum(count for _, count in parts)
    is_text = job.schema.modality == "text"
    words = tuple(vocabulary(totals, job.vocabulary)) if is_text else ()
    return Survey(
        statistics=statistics(job, totals, groups),
        vocabulary=words,
        pairs=pairs,
        capped=capped,
        decisions=_decide(job, totals, pairs, words, crowded=capped > 0),
    )


def _decide(
    job: Job, totals: Totals, pairs: Pairs, words: tuple[str, ...], *, crowded: bool
) -> Decisions:
    leaking = _leaking(pairs) if job.leakage != "off" else {}
    drop = job.leakage == "drop"
    balance = None
    if job.balance is not None:
        gone = ranks_of(sorted(leaking)) if drop else np.empty(0, np.uint64)
        ranks = {
            label: np.setdiff1d(np.concatenate(parts), gone)
            for label, parts in totals.ranks.items()
        }
        balance = Balance.plan(job.balance, ranks, len(job.schema.label_names), job.copies)
    return Decisions(
        leaking=leaking,
        drop=drop,
        balance=balance,
        language_models=ngrams.to_bytes(totals.sentences[0]) if totals.sentences else b"",
        vocabulary=words if job.schema.tokens else (),
        reference=near.Entries.merged(totals.reference) if totals.reference else None,
        crowded=crowded,
    )


def _leaking(pairs: Pairs) -> dict[str, Nearest]:
    """Return the eval or test example that each leaking training example resembles most."""
    leaking: dict[str, Nearest] = {}
    for pair in pairs:
        (split, key), (other_split, other) = _training_first(pair)
        if split == "train" and other_split != "train":
            nearest = Nearest(other_split, other, _rounded(pair.score))
            if key not in leaking or _closeness(nearest) > _closeness(leaking[key]):
                leaking[key] = nearest
    return leaking


def _others(rows: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["other_split"], row["other_key"]) for row in rows}


def _training_first(pair: near.Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    return (pair.b, pair.a) if pair.b[0] == "train" != pair.a[0] else (pair.a, pair.b)


def _closeness(nearest: Nearest) -> tuple[float, str, str]:
    return nearest.score, nearest.split, nearest.key


def _rounded(score: float) -> float:
    return round(float(score), 4)


def _json(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode("utf-8")
