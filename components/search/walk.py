"""The walk over a plan: which candidate is tried next, and which ones are trained further."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from components.search.halving import Plan
from components.search.networks import Networks
from components.search.points import Point, nearest, promoted
from components.search.space import STARTUP, Space, described, spread_ratio
from components.search.study import Study

Progress = Callable[[str], None]


@dataclass
class Walk:
    """One walk over a plan; what the study knows already is taken from there.

    Attributes:
        study: What is known.
        networks: What makes, trains and weighs networks.
        space: What may be tried.
        plan: How many networks each rung trains.
        seed: Decides what is tried.
        floor: Least accuracy.
        progress: Called with one line of text per training.
        spent: Epochs so far.
        points: What each trial reached, rung by rung.
        scout: The trial that went ahead.
    """

    study: Study
    networks: Networks
    space: Space
    plan: Plan
    seed: int
    floor: float
    progress: Progress
    spent: int = 0
    points: list[list[Point]] = field(default_factory=list)
    scout: int | None = None

    def rungs(self) -> list[list[Point]]:
        """Return what every trial reached, rung by rung.

        When the range is covered coarsely, one network goes ahead through all rungs. What it gains
        there tells how far below the floor a network may be before: later trials, and those that
        go on, are chosen around that accuracy.
        """
        for number in range(self.plan.networks[0]):
            if number == STARTUP:
                self.go_ahead()
            self.first(number)
        if self.scout is None:
            self.go_ahead()
        running = list(range(len(self.points)))
        for rung in range(1, len(self.plan.rungs)):
            reached = [self.points[one][rung - 1] for one in running]
            chosen = promoted(
                reached,
                self.plan.networks[rung],
                self.target(rung - 1),
                always=[running.index(self.scout)],
            )
            running = [running[one] for one in chosen]
            for number in running:
                if len(self.points[number]) == rung:
                    self.further(number, rung)
        return self.points

    def go_ahead(self) -> None:
        """Train one network through all rungs: the best that is nearest to the floor."""
        (self.scout,) = nearest([one[0] for one in self.points], self.floor, 1)
        for rung in range(1, len(self.plan.rungs)):
            self.further(self.scout, rung)

    def target(self, rung: int) -> float:
        """Return the accuracy in a rung from which training leads to the floor."""
        scout = self.points[self.scout]
        return self.floor - max(0.0, scout[-1].accuracy - scout[rung].accuracy)

    def ratio(self, number: int) -> float:
        """Return the share that a candidate removes."""
        if number < STARTUP:
            return spread_ratio(self.space, number)
        (best,) = nearest([one[0] for one in self.points[:STARTUP]], self.target(0), 1)
        return spread_ratio(self.space, number, self.study.candidate(self.space, best).ratio)

    def first(self, number: int) -> None:
        """Try a candidate in the first rung."""
        point = self.study.known(number, 0)
        if point is None:
            suggestion = self.study.suggest(self.space, number, self.seed, self.ratio(number))
            model = self.networks.cut(suggestion.candidate, number)
            point = self.kept(model, number, 0)
            self.study.tell(number, 0, point, suggestion)
        self.points.append([])
        self.told(number, 0, point)

    def further(self, number: int, rung: int) -> None:
        """Train a candidate through a later rung."""
        point = self.study.known(number, rung)
        if point is None:
            model = self.study.load(number, rung - 1)
            candidate = self.study.candidate(self.space, number)
            self.networks.train(model, candidate, number, rung)
            point = self.kept(model, number, rung)
            self.study.tell(number, rung, point, None)
        self.told(number, rung, point)

    def kept(self, model: keras.Model, number: int, rung: int) -> Point:
        """Weigh a network and keep it."""
        point = self.networks.weigh(model)
        self.study.keep(model, number, rung)
        return point

    def told(self, number: int, rung: int, point: Point) -> None:
        """Note what a trial reached, and say it."""
        self.points[number].append(point)
        self.spent += self.plan.epochs(rung)
        self.progress(
            f"trial {number + 1}/{self.plan.networks[0]} rung {rung + 1}/{len(self.plan.rungs)}: "
            f"{described(self.study.candidate(self.space, number))}: accuracy on eval "
            f"{point.accuracy:.4f}, {point.bytes:,} bytes, {point.macs:,} MACs; "
            f"{self.spent} of {self.plan.spent} epochs"
        )
