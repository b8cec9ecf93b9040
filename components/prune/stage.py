"""The pruning stage: choose, cut, prove, recalibrate, fine-tune, at once or in rounds."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import keras

from components.data import batches, training_batches
from components.distill import fit_with_teacher
from components.evaluate import evaluate
from components.prune.criteria import Scores, scores
from components.prune.graph import ChannelGraph
from components.prune.schedules import Pruned, heuristic, iterative
from components.prune.selection import Limits, choose, matching
from components.prune.sensitivities import sensitivity
from components.prune.statistics import recalibrate
from components.prune.surgery import cut, fresh
from components.prune.walk import channel_graph
from components.train import Context
from schemas.errors import InputError
from schemas.pruning import PruneConfig

CALIBRATION_BATCH = 250
TAYLOR_BATCH = 32
ROUNDS = 5
ROUND_EPOCHS = 1
LARGEST_DROP = 0.01
SENSITIVITY_RATIO = 0.5
SENSITIVITY_EXAMPLES = 1_000
NAMED = 5


def run(context: Context, config: PruneConfig) -> keras.Model:
    """Return a smaller network than the base, recalibrated and fine-tuned."""
    base = context.base
    graph = channel_graph(base)
    _check_names(graph, config)
    steps = _Steps(context, config)
    if config.sensitivity:
        context.notes["sensitivity"] = [asdict(one) for one in steps.sensitivity(base, graph)]
    pruned = steps.prune(base, graph)
    small = pruned.model
    before, after = graph.widths(), channel_graph(small).widths()
    layers = {name: [before[name][0], after[name][0]] for name in before}
    context.notes.update(
        schedule=config.schedule,
        criterion=config.criterion,
        channels=pruned.groups,
        removed=pruned.removed,
        parameters_before=base.count_params(),
        parameters_after=small.count_params(),
        largest_difference=pruned.difference,
        layers=layers,
        frozen=graph.frozen_by,
        frozen_by=list(graph.frozen_by),
    )
    if pruned.trace:
        context.notes["trace"] = [one.as_json() for one in pruned.trace]
    if pruned.stopped:
        context.notes["stopped"] = pruned.stopped
        context.progress(f"stopped: {pruned.stopped}")
    context.progress(
        f"removed {pruned.removed} of {pruned.groups} channel groups, parameters "
        f"{base.count_params():,} -> {small.count_params():,}, proof within "
        f"{pruned.difference:.1e}" + _told(graph.frozen_by)
    )
    steps.finish(small)
    if config.twin:
        epochs = config.epochs + pruned.tuned * steps.round_epochs
        context.notes["twin"] = steps.twin(small, epochs)
    return small


class _Steps:
    """What every schedule needs of the dataset and the settings."""

    def __init__(self, context: Context, config: PruneConfig) -> None:
        self.context = context
        self.config = config
        self.read: dict[int, list] = {}
        self.probed: list | None = None
        self.round_epochs = ROUND_EPOCHS if config.round_epochs is None else config.round_epochs
        self.limits = Limits(
            floor=config.floor,
            floors=config.floors,
            round_to=config.round_to,
            protected=config.protected,
        )

    def prune(self, base: keras.Model, graph: ChannelGraph) -> Pruned:
        """Cut by the schedule; recalibrated, and trained between rounds, but not after them."""
        config, context = self.config, self.context
        if config.schedule == "one_shot":
            removed = choose(
                graph,
                self.scores(base, graph),
                ratio=config.ratio,
                threshold=config.threshold,
                ratios=config.ratios,
                limits=self.limits,
            )
            done = cut(base, graph, removed, seed=context.seed)
            self.recalibrate(done.model)
            return Pruned(
                model=done.model,
                trace=(),
                groups=len(graph.prunable()),
                removed=len(removed),
                difference=done.difference,
                tuned=0,
                stopped="",
            )
        common = {
            "score": self.scores,
            "ratio": config.ratio,
            "rounds": config.rounds or ROUNDS,
            "tune": self.tune,
            "recalibrate": self.recalibrate,
            "limits": self.limits,
            "seed": context.seed,
            "progress": context.progress,
        }
        if config.schedule == "iterative":
            return iterative(base, **common)
        drop = config.largest_drop
        return heuristic(
            base,
            **common,
            evaluate=lambda model: evaluate(model, context.data, "eval").accuracy,
            accuracy_floor=config.accuracy_floor,
            largest_drop=LARGEST_DROP if drop is None else drop,
            probe=self.probe,
            probe_ratio=config.sensitivity_ratio or SENSITIVITY_RATIO,
        )

    def scores(self, model: keras.Model, graph: ChannelGraph) -> Scores:
        """Score by the criterion of the settings; Taylor looks at the calibration examples."""
        rows = None
        if self.config.criterion == "taylor":
            rows = self.examples(model, min(TAYLOR_BATCH, self.context.data.examples("train")))
        return scores(model, graph, self.config.criterion, seed=self.context.seed, batches=rows)

    def recalibrate(self, model: keras.Model) -> None:
        """Renew the BatchNorm statistics from training originals."""
        size = min(CALIBRATION_BATCH, self.context.data.examples("train"))
        recalibrate(model, self.examples(model, size))

    def examples(self, model: keras.Model, batch_size: int) -> list:
        """Return shuffled batches of training originals; they are read once."""
        if batch_size not in self.read:
            rows = training_batches(
                self.context.data,
                model,
                copy=0,
                batch_size=batch_size,
                seed=self.context.seed,
                examples=self.config.calibration,
            )
            self.read[batch_size] = list(rows)
        return self.read[batch_size]

    def tune(self, model: keras.Model, number: int) -> None:
        """Train between rounds."""
        round_config = replace(self.config, epochs=self.round_epochs)
        if self.round_epochs:
            seed = self.context.seed + 101 * number
            fit_with_teacher(model, replace(self.context, seed=seed), round_config)

    def finish(self, model: keras.Model) -> None:
        """Train in place; the heuristic takes it back if Split-eval is worse for it."""
        weights = model.get_weights()
        guarded = self.config.schedule == "heuristic" and self.config.epochs > 0
        before = evaluate(model, self.context.data, "eval").accuracy if guarded else 0.0
        fit_with_teacher(model, self.context, self.config)
        if not guarded:
            return
        after = evaluate(model, self.context.data, "eval").accuracy
        kept = after >= before
        if not kept:
            model.set_weights(weights)
        self.context.notes["last_training"] = {"before": before, "after": after, "kept": kept}

    def probe(self, model: keras.Model) -> float:
        """Return the accuracy on the first examples of Split-eval; they are read once."""
        if self.probed is None:
            count = self.config.sensitivity_examples or SENSITIVITY_EXAMPLES
            self.probed = list(batches(self.context.data, "eval", model, examples=count))
        right = total = 0
        for inputs, labels in self.probed:
            answers = model(inputs, training=False).numpy().argmax(axis=1)
            right += int((answers == labels.numpy()).sum())
            total += len(answers)
        return right / total

    def sensitivity(self, model: keras.Model, graph: ChannelGraph):
        """Return the sensitivity of every bundle, least sensitive first."""
        found = sensitivity(
            model,
            graph,
            self.scores(model, graph),
            evaluate=self.probe,
            ratio=self.config.sensitivity_ratio or SENSITIVITY_RATIO,
            recalibrate=self.recalibrate,
        )
        for one in found:
            self.context.progress(
                f"sensitivity: {' + '.join(one.layers)} without {one.removed} of {one.groups}: "
                f"{one.value:.4f} ({-one.drop:+.4f})"
            )
        return found

    def twin(self, small: keras.Model, epochs: int) -> dict:
        """Train the same architecture from fresh weights for as many epochs; return its scores."""
        model = fresh(small)
        fit_with_teacher(model, self.context, replace(self.config, epochs=epochs))
        report = evaluate(model, self.context.data, "eval")
        self.context.progress(
            f"twin from fresh weights: accuracy on eval {report.accuracy:.4f} after {epochs} epochs"
        )
        return {"accuracy": report.accuracy, "loss": report.loss, "epochs": epochs}


def _told(frozen_by: Mapping[str, str]) -> str:
    """Return the first of what froze channels, for a line of progress."""
    names = list(frozen_by)
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f", frozen by {', '.join(names[:NAMED])}{more}"


def _check_names(graph: ChannelGraph, config: PruneConfig) -> None:
    """Refuse names of layers that the network does not have, before anything runs."""
    for key in ("protected", "floors", "ratios"):
        try:
            matching(graph, list(getattr(config, key) or ()))
        except InputError as error:
            raise error.under(key) from None
