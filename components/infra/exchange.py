"""What the infra check and its process tell one another, as files of a folder."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.shipped import Artifact
from schemas.features import ExampleSchema

_ASKED, _REQUESTS = "asked.json", "requests.bin"
_TOLD, _BATCH, _SINGLY = "told.json", "batch.npy", "singly.npy"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the process is to do.

    Attributes:
        folder: The folder that ships, absolute.
        artifact: ``saved_model`` or ``tflite``.
        schema: What the examples hold.
        requests: Golden requests: for a SavedModel serialized Examples, for a TFLite model the
            bytes of an image ``uint8[H, W, C]`` or a text in UTF-8.
        timed: How many requests to time.
    """

    folder: str
    artifact: Artifact
    schema: ExampleSchema
    requests: tuple[bytes, ...]
    timed: int

    def write(self, folder: Path) -> None:
        """Write it into the exchange folder."""
        said = {
            "folder": self.folder,
            "artifact": self.artifact,
            "schema": self.schema.to_json(),
            "timed": self.timed,
            "lengths": [len(one) for one in self.requests],
        }
        (folder / _REQUESTS).write_bytes(b"".join(self.requests))
        (folder / _ASKED).write_text(json.dumps(said), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """Read what `write` wrote."""
        said = json.loads((folder / _ASKED).read_text("utf-8"))
        joined = (folder / _REQUESTS).read_bytes()
        ends = np.cumsum(said.pop("lengths")).tolist()
        requests = tuple(joined[a:b] for a, b in zip([0, *ends], ends, strict=False))
        said["schema"] = ExampleSchema.from_json(said["schema"])
        return cls(requests=requests, **said)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the process found; figures as `schemas.infra.InfraReport` holds them.

    Attributes:
        batch: Probabilities of all requests, asked at once, ``float32[N, classes]``.
        singly: Probabilities of the first few, asked one by one, ``float32[n, classes]``.
        figures: Load time, latencies, memory, and what was not measured.
    """

    batch: NDArray[np.float32]
    singly: NDArray[np.float32]
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the exchange folder, the figures last."""
        np.save(folder / _BATCH, self.batch, allow_pickle=False)
        np.save(folder / _SINGLY, self.singly, allow_pickle=False)
        (folder / _TOLD).write_text(json.dumps(self.figures), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Told:
        """Read what `write` wrote.

        Raises:
            OSError: a file is missing.
            ValueError: a file is damaged.
        """
        return cls(
            batch=np.load(folder / _BATCH, allow_pickle=False),
            singly=np.load(folder / _SINGLY, allow_pickle=False),
            figures=json.loads((folder / _TOLD).read_text("utf-8")),
        )
