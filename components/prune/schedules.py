"""Pruning in rounds: cut a little, train, look, and go on, elsewhere, back, or stop.

*Dependency-driven* (`iterative`): every round removes a few whole dependency groups, the lowest
of all, until the wanted share is gone. *Heuristic* (`heuristic`): after each round the accuracy on
a validation split decides. Scores are taken anew each round, from the network as trained so far.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import keras

from components.prune.criteria import Scores
from components.prune.graph import ChannelGraph
from components.prune.selection import Limits, choose_blocks, group_counts
from components.prune.sensitivities import Evaluate, Recalibrate, sensitivity
from components.prune.surgery import Cut, cut
from components.prune.walk import channel_graph
from schemas.errors import InputError

Score = Callable[[keras.Model, ChannelGraph], Scores]
Tune = Callable[[keras.Model, int], None]
Progress = Callable[[str], None]

GLOBAL = "lowest_of_all"
LEAST_SENSITIVE = "least_sensitive_layers"
GO_ON, CHANGE, ROLL_BACK, STOP = "go_on", "change_direction", "roll_back", "stop"
GONE = "the wanted share is gone"
NOTHING_LEFT = "floors, rounding and protected layers leave nothing to cut"
USED_UP = "the rounds are used up"
SMALLEST_STEP = 1 / 4  # of the first step: below it another halving is not worth a round


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round, as the trace holds it.

    Attributes:
        round: Number, from 1.
        direction: Which groups were up: the lowest of all, or of the least sensitive layers.
        removed: Groups cut in this round.
        removed_share: Share of the original groups that is gone, this round's included.
        parameters: Parameters after the cut.
        after_cut: Accuracy after cut and recalibration; None where none was measured.
        after_tuning: Accuracy after fine-tuning; None where none was measured.
        difference: What the proof of the cut measured.
        decision: ``go_on``, ``change_direction``, ``roll_back`` or ``stop``.
        reason: Why, in words.
        layers: Per layer that was cut: channels before and after.
    """

    round: int
    direction: str
    removed: int
    removed_share: float
    parameters: int
    after_cut: float | None
    after_tuning: float | None
    difference: float
    decision: str
    reason: str
    layers: dict[str, tuple[int, int]]

    def as_json(self) -> dict:
        """Return it as plain JSON values."""
        return {**asdict(self), "layers": {name: list(w) for name, w in self.layers.items()}}


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a schedule returns.

    Attributes:
        model: The smaller network.
        trace: Every round, rolled back ones included.
        groups: Prunable groups of the original network.
        removed: How many of them are gone.
        difference: Largest difference that any round's proof measured.
        tuned: Rounds that were fine-tuned, rolled back ones included.
        stopped: Why no further round followed, in words.
    """

    model: keras.Model
    trace: tuple[Round, ...]
    groups: int
    removed: int
    difference: float
    tuned: int
    stopped: str


def iterative(
    model: keras.Model,
    *,
    score: Score,
    ratio: float,
    rounds: int,
    tune: Tune,
    recalibrate: Recalibrate,
    limits: Limits | None = None,
    seed: int = 0,
    progress: Progress = lambda line: None,
) -> Pruned:
    """Remove a share of all groups in equal steps, with fine-tuning after each.

    Args:
        model: The network; left as it is.
        score: Scores the groups of a network and its graph.
        ratio: Share of the original groups to remove in all.
        rounds: In how many steps.
        tune: Trains a network in place; receives the number of the round.
        recalibrate: Renews BatchNorm statistics in place, after every cut.
        limits: Floors (shares of the original widths), rounding, protected layers.
        seed: Decides the inputs of the proofs.
        progress: Called with one line per round.
    """
    state = _Rounds(model, score, limits, seed)
    goal = int(ratio * state.groups)
    for number in range(1, rounds + 1):
        wanted = goal * number // rounds - state.removed
        if wanted <= 0:
            continue
        done = state.cut(wanted)
        if done is None:
            return state.result(NOTHING_LEFT)
        recalibrate(done.model)
        tune(done.model, number)
        state.tuned += 1
        state.accept(done)
        decision, reason = (STOP, GONE) if state.removed >= goal else (GO_ON, "by the plan")
        state.note(number, GLOBAL, done, None, None, decision, reason, progress)
        if decision == STOP:
            return state.result(reason)
    return state.result(USED_UP)


def heuristic(
    model: keras.Model,
    *,
    score: Score,
    evaluate: Evaluate,
    accuracy_floor: float,
    largest_drop: float,
    ratio: float,
    rounds: int,
    tune: Tune,
    recalibrate: Recalibrate,
    probe: Evaluate | None = None,
    probe_ratio: float = 0.5,
    limits: Limits | None = None,
    seed: int = 0,
    progress: Progress = lambda line: None,
) -> Pruned:
    """Remove up to a share of all groups as long as a validation split allows it.

    Each round cuts ``ratio / rounds`` of the original groups, recalibrates, fine-tunes and
    evaluates. Below ``accuracy_floor`` it is rolled back; the next one turns to the least
    sensitive half of the layers, or, being there already, takes half as much; once the steps are
    a quarter of the first, it stops. A round that stays above the floor is kept; if it cost more
    than ``largest_drop``, the next one turns to the least sensitive layers.

    Args:
        model: The network; left as it is.
        score: Scores the groups of a network and its graph.
        evaluate: Gives the accuracy on the validation split; never the test split.
        accuracy_floor: No network below it is kept.
        largest_drop: Largest accepted loss of accuracy of one round in the first direction.
        ratio: Largest share of the original groups to remove.
        rounds: Steps that the share is cut in; at most twice as many are tried.
        tune: Trains a network in place; receives the number of the round.
        recalibrate: Renews BatchNorm statistics in place, after every cut.
        probe: Accuracy for the sensitivity of layers, on fewer examples say; None: ``evaluate``.
        probe_ratio: Share of a layer that is cut to see its sensitivity.
        limits: Floors (shares of the original widths), rounding, protected layers.
        seed: Decides the inputs of the proofs.
        progress: Called with one line per round.

    Raises:
        InputError: the network is below the floor before anything is cut.
    """
    accuracy = evaluate(model)
    if accuracy < accuracy_floor:
        raise InputError(
            f"accuracy_floor must not exceed what the network reaches uncut, {accuracy:.4f}, "
            f"but is {accuracy_floor}: lower it, or train the base longer"
        )
    state = _Rounds(model, score, limits, seed)
    goal = int(ratio * state.groups)
    first_step = step = max(1, goal // rounds)
    direction = GLOBAL
    for number in range(1, 2 * rounds + 1):
        only = None
        if direction == LEAST_SENSITIVE:
            only = state.least_sensitive(probe or evaluate, recalibrate, probe_ratio)
        done = state.cut(min(step, goal - state.removed), only)
        if done is None:
            return state.result(NOTHING_LEFT)
        recalibrate(done.model)
        after_cut = evaluate(done.model)
        tune(done.model, number)
        state.tuned += 1
        after = evaluate(done.model)
        used, drop = direction, accuracy - after
        if after < accuracy_floor:
            decision, reason = ROLL_BACK, f"{after:.4f} is below the floor {accuracy_floor}"
            if direction == GLOBAL:
                direction = LEAST_SENSITIVE
            elif step // 2 < max(1, first_step * SMALLEST_STEP):
                decision = STOP
                reason += "; rolled back, and no smaller step is left"
            else:
                step //= 2
        else:
            state.accept(done)
            accuracy = after
            decision, reason = GO_ON, f"{after:.4f} is above the floor {accuracy_floor}"
            if state.removed >= goal:
                decision, reason = STOP, GONE
            elif direction == GLOBAL and drop > largest_drop:
                decision, direction = CHANGE, LEAST_SENSITIVE
                reason = f"the round cost {drop:.4f}, more than {largest_drop}"
        state.note(number, used, done, after_cut, after, decision, reason, progress)
        if decision == STOP:
            return state.result(reason)
    return state.result(USED_UP)


class _Rounds:
    """What has been accepted so far."""

    def __init__(self, model: keras.Model, score: Score, limits: Limits | None, seed: int) -> None:
        self.model = model
        self.score = score
        self.scores: Scores | None = None
        self.seed = seed
        self.graph = channel_graph(model)
        self.groups = len(self.graph.prunable())
        self.limits = replace(limits or Limits(), original=group_counts(self.graph))
        self.removed = 0
        self.tuned = 0
        self.difference = 0.0
        self.trace: list[Round] = []

    def worth(self) -> Scores:
        """Return the scores of the accepted network; it is scored once."""
        if self.scores is None:
            self.scores = self.score(self.model, self.graph)
        return self.scores

    def cut(self, count: int, only: set[str] | None = None) -> Cut | None:
        """Return the accepted network with about ``count`` groups less; None: nothing can leave."""
        removed = choose_blocks(
            self.graph, self.worth(), count=count, limits=self.limits, only=only
        )
        if not removed:
            return None
        done = cut(self.model, self.graph, removed, seed=self.seed + len(self.trace))
        self.difference = max(self.difference, done.difference)
        return done

    def accept(self, done: Cut) -> None:
        self.removed += len(done.removed)
        self.model = done.model
        self.graph = channel_graph(done.model)
        self.scores = None

    def least_sensitive(self, probe: Evaluate, recalibrate: Recalibrate, ratio: float) -> set[str]:
        """Return the names of the less sensitive half of the bundles that can lose anything."""
        worth, limits = self.worth(), self.limits
        cuttable = [
            one.name
            for one in self.graph.bundles()
            if choose_blocks(self.graph, worth, count=1, limits=limits, only={one.name})
        ]
        ranked = sensitivity(
            self.model,
            self.graph,
            self.worth(),
            evaluate=probe,
            ratio=ratio,
            recalibrate=recalibrate,
            only=cuttable,
        )
        return {one.layers[0] for one in ranked[: (len(ranked) + 1) // 2]}

    def note(self, number, direction, done, after_cut, after, decision, reason, progress) -> None:
        kept = self.model is done.model
        gone = self.removed + (0 if kept else len(done.removed))
        entry = Round(
            round=number,
            direction=direction,
            removed=len(done.removed),
            removed_share=round(gone / max(self.groups, 1), 6),
            parameters=done.model.count_params(),
            after_cut=after_cut,
            after_tuning=after,
            difference=done.difference,
            decision=decision,
            reason=reason,
            layers={name: pair for name, pair in done.widths.items() if pair[0] != pair[1]},
        )
        self.trace.append(entry)
        accuracy = "" if after is None else f"  accuracy {after_cut:.4f} -> {after:.4f}"
        progress(
            f"round {number}: {direction}, {gone} of {self.groups} groups gone, parameters "
            f"{entry.parameters:,}{accuracy}  {decision}: {reason}"
        )

    def result(self, stopped: str) -> Pruned:
        return Pruned(
            model=self.model,
            trace=tuple(self.trace),
            groups=self.groups,
            removed=self.removed,
            difference=self.difference,
            tuned=self.tuned,
            stopped=stopped,
        )
