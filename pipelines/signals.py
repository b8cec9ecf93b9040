"""Teacher signals with Beam: one task per shard, none of which depends on another.

Each task scores one shard of the training split and writes one file, as
`components.signal_store.store_signals` does in a single process: same files, same bytes, and
either resumes what the other began. Use this one where a teacher is large and there are workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam

from components import signal_store
from components.data import Data, open_dataset
from components.models import model_digest
from components.signals import Scorer
from components.stages import load_model
from pipelines.dataset.materialize import pipeline_options, translated
from schemas.errors import FailedError
from schemas.manifest import ShardInfo
from schemas.teaching import SIGNALS, SignalsConfig, SignalsManifest, load_signals_manifest


def store_signals(
    dataset: str | Path,
    teacher: str | Path,
    output: str | Path,
    config: SignalsConfig,
    beam_flags: Sequence[str] = (),
) -> SignalsManifest:
    """Store a teacher's answers to every training example; a killed run resumes by the shard.

    Args:
        dataset: Materialized dataset directory.
        teacher: Model directory.
        output: Folder for the signals, on a file system that all workers share.
        config: Which maps and copies.
        beam_flags: Flags for Beam (``--runner``, ``--direct_num_workers``, ...).

    Raises:
        InputError: a folder does not hold what it should, wrong Beam flags, layers without maps.
        FailedError: the run failed; what is finished is kept.
    """
    options = pipeline_options(beam_flags)
    data = open_dataset(dataset)
    signal_store.layers_to_store(load_model(teacher), config)  # refused here, not on a worker
    shards = signal_store.shards_to_score(data, config.copies)
    task = StoreShard(str(dataset), str(teacher), str(output), config)
    (Path(output) / SIGNALS).unlink(missing_ok=True)
    try:
        with beam.Pipeline(options=options) as pipeline:
            done = (
                pipeline
                | "Shards" >> beam.Create(shards, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Store" >> beam.ParDo(task)
            )
            (
                pipeline
                | "Once" >> beam.Create([shards])
                | "Publish" >> beam.Map(task.publish, beam.pvalue.AsList(done))
            )
    except Exception as error:  # a runner may raise anything
        raise translated(error) from error
    return load_signals_manifest(output)


class StoreShard(beam.DoFn):  # type: ignore[misc]
    """Scores and stores one shard; a finished one is left as it is. Emits its path."""

    def __init__(self, dataset: str, teacher: str, output: str, config: SignalsConfig) -> None:
        """Keep where things are."""
        self._dataset, self._teacher, self._output = dataset, teacher, output
        self._config = config

    def setup(self) -> None:
        """Load the teacher once per worker."""
        model = load_model(self._teacher)
        self._data: Data = open_dataset(self._dataset)
        self._digest = model_digest(model)
        self._sizes = signal_store.layers_to_store(model, self._config)
        self._scorer = Scorer(model, list(self._sizes), self._config.maps)

    def process(self, element: ShardInfo) -> Iterator[str]:
        """Do one shard."""
        stamp = signal_store.stamp_of(
            self._data, element, self._digest, self._sizes, self._config.maps
        )
        if signal_store.finished_shard(self._output, element, stamp) is None:
            answers = self._scorer.score(self._data, element)
            signal_store.write_shard(self._output, element, answers, stamp)
        yield element.path

    def publish(self, shards: list[ShardInfo], done: list[str]) -> str:
        """Write the manifest over all shards.

        Raises:
            FailedError: a shard was not scored.
        """
        missing = sorted({one.path for one in shards} - set(done))
        if missing:
            raise FailedError(f"{missing[0]} was not scored; run the same command again")
        self.setup()
        return signal_store.publish(
            self._output,
            self._data,
            shards,
            teacher=self._digest,
            sizes=self._sizes,
            precision=self._config.maps,
        ).digest
