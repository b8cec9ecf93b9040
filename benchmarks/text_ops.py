"""Speed of the text ops and policies, against other libraries on the same reviews."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.process import Peer, peer
from benchmarks.result import Measured
from benchmarks.side_by_side import table_lines as table_lines
from benchmarks.timing import one_core
from pipelines.augment.policy import Policy, parse_policy
from pipelines.dataset.sources import open_source
from schemas.errors import FailedError
from schemas.recipe import load_recipe

SEED = 20261124
PEERS = ("nlpaug", "textaugment")
FIGURES = {
    "reviews_per_s": ("reviews/s", "ours on one core"),
    **{f"vs_{name}": ("times", f"ours against {name}") for name in PEERS},
}


def policies() -> dict[str, Policy]:
    """Return what is measured: each op by itself, then whole policies."""
    slips = dict.fromkeys(("homophones", "misspellings", "keyboard", "scanner"), 0)
    slots: dict[str, Any] = {
        "synonym_replace": {"op": "synonym_replace"},
        "synonym_replace, inflected": {"op": "synonym_replace", "inflect": True},
        "random_insert": {"op": "random_insert"},
        "random_swap": {"op": "random_swap"},
        "random_delete": {"op": "random_delete"},
        "stopword_removal": {"op": "stopword_removal"},
        "misspellings": {"op": "confuse_words"} | slips | {"misspellings": 1},
        "keyboard slips": {"op": "confuse_words"} | slips | {"keyboard": 1},
        "scanner slips": {"op": "confuse_words"} | slips | {"scanner": 1},
        "sentence_shuffle": {"op": "sentence_shuffle"},
        "sentence_drop": {"op": "sentence_drop"},
        "entity_swap": {"op": "entity_swap"},
    }
    mappings = {name: {"slots": [slot]} for name, slot in slots.items()}
    mappings |= {name: {"preset": name} for name in ("eda", "text_strong")}
    return {name: parse_policy(mapping, "text") for name, mapping in mappings.items()}


def measure(*, quick: bool) -> Measured:
    """Measure on IMDB, or without ``TFDS_DATA_DIR`` on the reviews that the tfx package ships."""
    name, texts = _reviews(40 if quick else 300)
    runs = 2 if quick else 5
    keys = [f"train-{i:08d}" for i in range(len(texts))]
    measured = policies()
    words = sum(len(text.split()) for text in texts)
    edits = {one: _edits(policy, texts, keys) for one, policy in measured.items()}
    shares = {one: count / words for one, count in edits.items()}
    figures: dict[str, dict[str, list[float]]] = {key: {} for key in FIGURES}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, one_core():
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), "utf-8")
        with _peers(() if quick else PEERS, {"texts": str(path), "shares": shares}) as peers:
            _measure(figures, measured, texts, keys, peers, runs)
            for one in peers.values():
                versions |= one.versions
    against = ", ".join(f"{one} {version}" for one, version in sorted(versions.items()))
    return Measured(
        runs=figures,
        conditions={
            "reviews": f"{len(texts)} of {name}, {words / len(texts):.0f} words each, in memory",
            "ours": "Policy.apply on the whole list: draws, tokens, ops, trace, joined again",
            "peers": (
                f"{against}; each in its own process, one review at a time, as its users call it. "
                "A ratio above 1 means ours is faster"
                if versions
                else "left out by --quick"
            ),
            "settings": (
                "ours by default; the peers change the same share of the words: "
                + ", ".join(
                    f"{one} {share:.1%}" for one, share in shares.items() if share and one != "eda"
                )
            ),
            "not alike": (
                "textaugment splits at blanks and takes any synonym; nlpaug tags parts of speech; "
                "ours keeps spacing, names, negations, and takes safe synonyms alone"
            ),
            "runs": (
                "one pinned core, one thread each, CPU time, alternating; ratios per pair of runs"
            ),
        },
        seeds={"policy": SEED},
    )


@contextlib.contextmanager
def _peers(names: tuple[str, ...], settings: dict[str, Any]) -> Iterator[dict[str, Peer]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(peer(name, "texts", settings)) for name in names}


def _edits(policy: Policy, texts: list[str], keys: list[str]) -> int:
    """Return how many words the policy's only op changes; 0 for a policy of several."""
    _, trace = policy.apply(texts, keys, seed=SEED, copy=1)
    columns = [column for name, column in trace.items() if name.endswith(".edits")]
    return int(columns[0].sum()) if len(columns) == 1 else 0


def _measure(
    figures: dict[str, dict[str, list[float]]],
    measured: dict[str, Policy],
    texts: list[str],
    keys: list[str],
    peers: dict[str, Peer],
    runs: int,
) -> None:
    """Add the value of every run to ``figures``."""
    for name, one in peers.items():
        unknown = sorted(set(one.names) - set(measured))
        if unknown:
            raise FailedError(f"{name} measures {unknown}, which we do not.")
    for name, policy in measured.items():
        able = {peer_name: one for peer_name, one in peers.items() if name in one.names}
        gc.collect()
        for run in range(runs + 1):  # the first warms up
            start = time.process_time()
            policy.apply(texts, keys, seed=SEED, copy=run + 1)
            ours = time.process_time() - start
            theirs = {peer_name: one.cpu_seconds(name)[0] for peer_name, one in able.items()}
            if run:
                figures["reviews_per_s"].setdefault(name, []).append(len(texts) / ours)
                for peer_name, seconds in theirs.items():
                    figures[f"vs_{peer_name}"].setdefault(name, []).append(seconds / ours)


def _reviews(count: int) -> tuple[str, list[str]]:
    """Return the first reviews of the training split, and whose they are."""
    data = os.environ.get("TFDS_DATA_DIR")
    name = "imdb" if data and (Path(data) / "imdb_reviews").is_dir() else "reviews_sample"
    source = open_source(load_recipe(name).recipe)
    values = (record.value for record in source.read("train", 0, count))
    return name, [value.decode("utf-8") for value in values if isinstance(value, bytes)]
