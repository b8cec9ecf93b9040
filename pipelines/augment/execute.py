"""Run a policy over a batch: draw, group rows by op, fuse what can be fused.

Each row carries its own pending affine matrix or colour map, so what is fused depends on the ops
of that row alone, never on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.augment import registry
from pipelines.augment.context import Context
from pipelines.augment.draws import Draws
from pipelines.augment.guard import COLUMNS, guarded
from pipelines.augment.image import recolour, warp
from pipelines.augment.params import Strength
from pipelines.augment.text.tokenize import Tokens, join, tokenize
from schemas.errors import InputError

if TYPE_CHECKING:
    from pipelines.augment.calls import OpCall, Slot
    from pipelines.augment.policy import Policy

Images = NDArray[np.uint8]
Rows = NDArray[np.intp]
Trace = dict[str, NDArray[Any]]

_COLUMN_TYPES: dict[str, Any] = {"str": object, "int64": np.int64, "float32": np.float32}
_NOTHING, _AFFINE, _COLOUR = 0, 1, 2


def trace_schema(policy: Policy) -> dict[str, str]:
    """Return the trace columns of ``policy`` with their types: str, int64 or float32."""
    columns = {"branch": "int64"} if len(policy.branches) > 1 else {}
    for name, slot in _slots(policy):
        columns[f"{name}.op"] = "str"
        for call in slot.choices:
            for param, distribution in call.resolved().params.items():
                column = f"{name}.{call.op}.{param}"
                columns[column] = "int64" if distribution.integer else "float32"
            if call.resolved().kind == "tokens":
                columns[f"{name}.{call.op}.edits"] = "int64"
            if call.resolved().kind == "mix":
                columns[f"{name}.{call.op}.partner"] = "str"
                columns[f"{name}.{call.op}.weight"] = "float32"
    if policy.guard is not None:
        columns |= dict.fromkeys(COLUMNS, "int64")
    return columns


def empty_trace(policy: Policy, count: int) -> Trace:
    """Return ``count`` trace rows of an example that no op touched."""
    trace: Trace = {}
    for column, kind in trace_schema(policy).items():
        if kind == "str":
            trace[column] = np.full(count, "", dtype=object)
        else:
            trace[column] = np.ma.MaskedArray(np.zeros(count, dtype=_COLUMN_TYPES[kind]), mask=True)
    return trace


def run_images(
    policy: Policy,
    images: Images,
    keys: Sequence[str],
    draws: Draws,
    labels: NDArray[np.int64] | None,
    context: Context,
) -> tuple[Images, Trace]:
    """Return the augmented copy of ``uint8[N, H, W, C]`` images, and its trace."""
    state = _ImageRows(images, keys)
    trace = _run(policy, state, draws, labels, context)
    state.settle(np.arange(len(images)))
    return state.images, trace


def run_texts(
    policy: Policy,
    texts: Sequence[str],
    draws: Draws,
    labels: NDArray[np.int64] | None,
    context: Context,
) -> tuple[list[str], Trace]:
    """Return the augmented copies of ``texts``, and their trace."""

    def attempt(rows: Rows, of_all: Draws) -> tuple[list[str], Trace]:
        state = _TextRows([texts[row] for row in rows])
        marks = None if labels is None else labels[rows]
        trace = _run(policy, state, of_all.take(rows), marks, context)
        return state.texts(), trace

    if policy.guard is None or labels is None:
        return attempt(np.arange(len(texts)), draws)
    return guarded(
        policy.guard,
        texts,
        labels,
        draws=draws,
        attempt=attempt,
        untouched=partial(empty_trace, policy),
    )


def checked_images(batch: Any) -> Images:
    """Return ``batch`` if it holds images that ops take, else raise ``InputError``."""
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
        kind = getattr(batch, "dtype", type(batch).__name__)
        raise InputError(f"images must be a uint8 array [N, H, W, C], got {kind}")
    if batch.ndim != 4 or batch.shape[3] not in (1, 3) or 0 in batch.shape[1:]:
        raise InputError(f"images must be uint8[N, H, W, C] with C of 1 or 3, got {batch.shape}")
    return batch


def checked_texts(batch: Any) -> list[str]:
    """Return ``batch`` as a list if it holds texts, else raise ``InputError``."""
    if isinstance(batch, str) or not all(isinstance(text, str) for text in batch):
        raise InputError("texts must be a sequence of str, one per key")
    return list(batch)


class _RowsState(Protocol):
    def apply(
        self,
        op: registry.Op,
        rows: Rows,
        params: Mapping[str, NDArray[Any]],
        given: Mapping[str, Any],
    ) -> Trace:
        """Apply ``op`` to some rows; return what else their trace should hold.

        ``given`` is what the op needs besides its own rows.
        """


def _slots(policy: Policy) -> Iterator[tuple[str, Slot]]:
    for branch in policy.branches:
        for position, slot in enumerate(branch.slots):
            yield f"slot{position}", slot


def _run(
    policy: Policy,
    state: _RowsState,
    draws: Draws,
    labels: NDArray[np.int64] | None,
    context: Context,
) -> Trace:
    count = len(draws)
    trace = empty_trace(policy, count)
    chosen = np.zeros(count, dtype=np.int64)
    if len(policy.branches) > 1:
        chosen = draws.stream("branch").choice([branch.weight for branch in policy.branches])
        trace["branch"][:] = chosen
    for index, branch in enumerate(policy.branches):
        rows = np.flatnonzero(chosen == index)
        of_branch = draws.take(rows)
        for position, slot in enumerate(branch.slots):
            name = f"slot{position}"
            stream = of_branch.stream(name)
            for call, picked in _picks(slot, stream, None if labels is None else labels[rows]):
                if not len(picked):
                    continue
                op, touched = call.resolved(), rows[picked]
                of_call = stream.take(picked)
                params = op.sample(of_call.stream(op.name), _strength(call, of_call))
                supply = {
                    "labels": None if labels is None else labels[touched],
                    "ngrams": context.ngrams,
                    "protect_names": policy.protect_names,
                }
                given = {need: supply[need] for need in op.needs}
                if op.kind == "mix":
                    given["partners"] = _partners(draws, touched, of_call)
                measured = state.apply(op, touched, params, given)
                trace[f"{name}.op"][touched] = op.name
                for param, values in params.items():
                    stored = registry.as_stored(op.params[param], values)
                    trace[f"{name}.{op.name}.{param}"][touched] = stored
                for measure, values in measured.items():
                    trace[f"{name}.{op.name}.{measure}"][touched] = values
    return trace


def _partners(draws: Draws, rows: Rows, of_call: Draws) -> Rows:
    """Return for each of ``rows`` another row of the batch, or itself where there is no other.

    Rows are ordered by their state, so that the partner depends on the row's key and on which keys
    the batch holds, not on their order.
    """
    count = len(draws)
    if count == 1:
        return rows
    order = np.argsort(draws.state, kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    further = of_call.stream("partner").integers(1, count, 1)[:, 0]
    partners: Rows = order[(rank[rows] + further) % count]
    return partners


def _strength(call: OpCall, draws: Draws) -> Strength:
    if not isinstance(call.strength, tuple):
        return call.strength
    low, high = call.strength[:2]
    stream = draws.stream("strength")
    if len(call.strength) == 2:
        return low + (high - low) * stream.uniform(1)[:, 0]
    levels = int(call.strength[2])
    return low + (high - low) * stream.integers(0, levels, 1)[:, 0] / (levels - 1)


def _picks(
    slot: Slot, stream: Draws, labels: NDArray[np.int64] | None
) -> Iterator[tuple[OpCall, Rows]]:
    """Yield each call of ``slot`` with the positions of the rows it is applied to."""
    if len(slot.choices) > 1:
        chosen = stream.stream("choice").choice(slot.weights)
    else:
        chosen = np.zeros(len(stream), dtype=np.int64)
    gate = stream.stream("gate").uniform(1)[:, 0]
    for index, call in enumerate(slot.choices):
        taken = (chosen == index) & (gate < call.probability)
        if call.labels is not None and labels is not None:
            taken &= np.isin(labels, call.labels)
        yield call, np.flatnonzero(taken)


class _ImageRows:
    """Images, each with the affine matrix or colour map that is still to be applied to it."""

    def __init__(self, images: Images, keys: Sequence[str]) -> None:
        count = len(images)
        self._given = images
        self._keys = np.array(keys, dtype=object)
        self.images = np.ascontiguousarray(images)
        self._pending = np.zeros(count, dtype=np.int8)
        self._matrices = np.zeros((count, 2, 3))
        self._maps = np.zeros((count, 3, 4))
        self._fills: list[tuple[str, int]] = []
        self._fill = np.zeros(count, dtype=np.int64)

    def apply(
        self,
        op: registry.Op,
        rows: Rows,
        params: Mapping[str, NDArray[Any]],
        given: Mapping[str, Any],
    ) -> Trace:
        """Apply ``op`` to some rows, now or fused with what follows."""
        settings = op.setting_values()
        if op.kind == "affine":
            fill = (settings.pop("fill"), settings.pop("fill_value"))
            height, width = self.images.shape[1:3]
            matrices = op.kernel(height=height, width=width, **params, **settings)
            self._warp_later(rows, matrices, fill)
        elif op.kind == "colour":
            self._recolour_later(rows, op.kernel(**params, **settings))
        elif op.kind == "mix":
            self.settle(rows)
            partners = given["partners"]
            mixed, weight = op.kernel(self._take(rows), self._given[partners], **params, **settings)
            self._store(rows, mixed)
            return {"partner": self._keys[partners], "weight": weight.astype(np.float32)}
        else:
            self.settle(rows)
            self._store(rows, op.kernel(self._take(rows), **params, **settings, **given))
        return {}

    def settle(self, rows: Rows) -> None:
        """Apply what is pending for ``rows``."""
        pending = self._pending[rows]
        for code, (fill, value) in enumerate(self._fills):
            some = rows[(pending == _AFFINE) & (self._fill[rows] == code)]
            if len(some):
                matrices = self._matrices[some]
                warped = warp.warp(self._take(some), matrices, fill=fill, fill_value=value)
                self._store(some, warped)
        some = rows[pending == _COLOUR]
        if len(some):
            self._store(some, recolour.recolour(self._take(some), self._maps[some]))
        self._pending[rows] = _NOTHING

    def _warp_later(self, rows: Rows, matrices: NDArray[Any], fill: tuple[str, int]) -> None:
        if fill not in self._fills:
            self._fills.append(fill)
        code = self._fills.index(fill)
        other = (self._pending[rows] != _AFFINE) | (self._fill[rows] != code)
        self.settle(rows[other])
        fused = rows[~other]
        self._matrices[rows[other]] = matrices[other]
        self._matrices[fused] = warp.compose(self._matrices[fused], matrices[~other])
        self._fill[rows] = code
        self._pending[rows] = _AFFINE

    def _recolour_later(self, rows: Rows, maps: NDArray[Any]) -> None:
        other = self._pending[rows] != _COLOUR
        self.settle(rows[other])
        fused = rows[~other]
        self._maps[rows[other]] = maps[other]
        self._maps[fused] = recolour.compose(self._maps[fused], maps[~other])
        self._pending[rows] = _COLOUR

    def _take(self, rows: Rows) -> Images:
        return self.images if len(rows) == len(self.images) else self.images[rows]

    def _store(self, rows: Rows, changed: Images) -> None:
        if len(rows) == len(self.images):
            self.images = changed
        else:
            if np.may_share_memory(self.images, self._given):
                self.images = self.images.copy()
            self.images[rows] = changed


class _TextRows:
    """Texts, tokenised at the first op that touches them and joined once at the end."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        self._documents: dict[int, Tokens] = {}

    def apply(
        self,
        op: registry.Op,
        rows: Rows,
        params: Mapping[str, NDArray[Any]],
        given: Mapping[str, Any],
    ) -> Trace:
        """Apply ``op`` to some documents."""
        places = rows.tolist()
        for place in places:
            if place not in self._documents:
                self._documents[place] = tokenize(self._texts[place])
        documents = [self._documents[place] for place in places]
        changed, edits = op.kernel(documents, **params, **op.setting_values(), **given)
        self._documents.update(zip(places, changed, strict=True))
        return {"edits": edits}

    def texts(self) -> list[str]:
        """Return the texts as they are now."""
        for place, document in self._documents.items():
            self._texts[place] = join(document)
        return self._texts
