"""What has been tried, on disk: an Optuna study, and the network of each trial beside it.

A folder holds ``study.log`` (Optuna's journal), ``networks/TRIAL-RUNG.keras`` and ``.tflite``. A
line of the journal is written when its network is there, so a kill loses one training at most.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from filelock import Timeout

from components.search.points import Point
from components.search.space import STARTUP, Candidate, Space, draw, seed_of
from schemas.canonical import digest
from schemas.errors import InputError
from schemas.locks import held

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.log"
DIRECTIONS = ("maximize", "minimize", "minimize")  # accuracy, bytes, MACs
_IDENTITY, _DENSE = "identity", "dense"


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A candidate that has not been tried yet, and how Optuna keeps it."""

    candidate: Candidate
    params: dict[str, Any]
    distributions: dict[str, Any]


class Study:
    """The trials of one search; made by `open_study`."""

    def __init__(self, folder: Path, study: "optuna.Study") -> None:
        self.folder = folder
        self._study = study
        self._told = list(study.get_trials(deepcopy=False))
        self._attributes: dict[str, Any] = dict(study.user_attrs)

    def suggest(self, space: Space, number: int, seed: int, ratio: float) -> Suggestion:
        """Return what trial ``number`` tries, given the first rung of those before it.

        The share to remove trades accuracy for bytes, so it is given; the rest is chosen by the
        tree-structured Parzen estimator for several objectives (Ozaki et al., 2022), which
        learns from the first rung, that all trials have in common. The first trials, and every
        third later, are drawn at random, as BOHB does (Falkner et al., 2018). Random numbers
        depend on seed and number alone, so that a run that was cut off suggests the same as one
        that was not.
        """
        optuna = _optuna()
        own = seed_of(seed, number)
        sampler = optuna.samplers.TPESampler(seed=own)
        if number < STARTUP or number % 3 == 0:
            sampler = optuna.samplers.RandomSampler(seed=own)
        study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        study.add_trials(self._told[:number])
        study.enqueue_trial({"ratio": ratio})
        trial = study.ask()
        candidate = draw(trial, space)
        return Suggestion(
            candidate=candidate, params=trial.params, distributions=trial.distributions
        )

    def candidate(self, space: Space, number: int) -> Candidate:
        """Return what a trial that was told tried."""
        return draw(_optuna().trial.FixedTrial(self._told[number].params), space)

    def known(self, number: int, rung: int) -> Point | None:
        """Return what a trial reached at the end of a rung, or None if it is not known."""
        if rung == 0 and number < len(self._told):
            return Point(**self._told[number].user_attrs["point"])
        point = self._attributes.get(_key(number, rung))
        return Point(**point) if point else None

    def tell(self, number: int, rung: int, point: Point, suggestion: Suggestion | None) -> None:
        """Keep what a trial reached; the first rung makes a trial of the suggestion."""
        if rung:
            self._attributes[_key(number, rung)] = asdict(point)
            self._study.set_user_attr(_key(number, rung), asdict(point))
            return
        values = [point.accuracy, float(point.bytes), float(point.macs)]
        trial = _optuna().trial.create_trial(
            params=suggestion.params,
            distributions=suggestion.distributions,
            values=values,
            user_attrs={"point": asdict(point)},
        )
        self._study.add_trial(trial)
        self._told.append(trial)

    @property
    def dense(self) -> Point | None:
        """What the network that is searched from reaches, once it is known."""
        return Point(**self._attributes[_DENSE]) if _DENSE in self._attributes else None

    def tell_dense(self, point: Point) -> None:
        """Keep what the network that is searched from reaches."""
        self._attributes[_DENSE] = asdict(point)
        self._study.set_user_attr(_DENSE, asdict(point))

    def path(self, number: int, rung: int) -> Path:
        """Return where the network of a trial lies."""
        return self.folder / "networks" / f"{number:04d}-{rung}.keras"

    def keep(self, model: keras.Model, number: int, rung: int) -> None:
        """Write a network, whole or not at all."""
        path = self.path(number, rung)
        path.parent.mkdir(exist_ok=True)
        work = path.with_name(f".{path.name}")
        model.save(work, include_optimizer=False)
        os.replace(work, path)

    def load(self, number: int, rung: int) -> keras.Model:
        """Read the network of a trial.

        Raises:
            InputError: it is missing or damaged.
        """
        path = self.path(number, rung)
        try:
            return keras.saving.load_model(path, compile=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: the study says that this network was trained, but it cannot be read "
                f"({error}). Remove {self.folder} and search again."
            ) from error


@contextlib.contextmanager
def open_study(folder: str | Path, identity: dict[str, Any]) -> Iterator[Study]:
    """Open the study in a folder, or begin one, and hold it.

    Args:
        folder: Where it lies.
        identity: All that decides the outcome of a trial, as JSON values.

    Raises:
        InputError: the folder holds the study of another identity, another process works there, or
            its file system knows no locks.
    """
    optuna = _optuna()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder / ".lock", wait=False))
        except Timeout:
            raise InputError(
                f"{folder}: another search works on this study; wait for it, or choose another "
                "folder"
            ) from None
        journal = folder / JOURNAL
        _heal(journal)
        backend = optuna.storages.journal.JournalFileBackend(str(journal))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="search",
            directions=DIRECTIONS,
            load_if_exists=True,
        )
        known = study.user_attrs.get(_IDENTITY)
        if known is None:
            study.set_user_attr(_IDENTITY, identity)
        elif digest(known) != digest(identity):
            raise InputError(
                f"{folder}: this is the study {digest(known)[:12]}, not {digest(identity)[:12]}: "
                f"{_difference(known, identity)} differs. Choose another folder, or remove it."
            )
        yield Study(folder, study)


def _heal(journal: Path) -> None:
    """Remove what a kill in the middle of a write leaves behind: half a line, Optuna's lock."""
    lock = journal.with_name(f"{journal.name}.lock")
    if lock.is_symlink():
        lock.unlink()
    if journal.exists():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(journal, len(whole))


def _difference(known: dict[str, Any], wanted: dict[str, Any]) -> str:
    names: Sequence[str] = sorted({*known, *wanted})
    return ", ".join(name for name in names if known.get(name) != wanted.get(name))


def _key(number: int, rung: int) -> str:
    return f"trial {number} rung {rung}"


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
