"""The `adversarial:` section of a recipe: training images perturbed to mislead a trained model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

DEFAULT_STEPS = 10
_FORBID = ConfigDict(extra="forbid")
Length = Annotated[float, Field(gt=0, le=1e6)]


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class AdversarialConfig:
    """How the augmented copies of images are perturbed; lengths are in grey levels, 0 to 255.

    Attributes:
        model: The ``.keras`` file of the model to mislead; it takes the dataset's images.
        outputs: What that model answers with.
        method: ``fgsm``, one step of length ``epsilon`` (Goodfellow et al., 2015), or ``pgd``,
            several from a random start, projected back (Madry et al., 2018).
        norm: Whether ``epsilon`` bounds the change of every channel value (``linf``) or the length
            of the whole image's change (``l2``).
        epsilon: The bound.
        step: Length of a step of ``pgd``; 2.5 times ``epsilon / steps`` by default.
        steps: Steps of ``pgd``; 10 by default.
        targeted: Whether images are moved towards another, drawn class, not just off their own.
        share: Share of the augmented examples that are perturbed.
    """

    model: str
    outputs: Literal["logits", "probabilities"] = "logits"
    method: Literal["fgsm", "pgd"] = "fgsm"
    norm: Literal["linf", "l2"] = "linf"
    epsilon: Length
    step: Length | None = None
    steps: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    targeted: bool = False
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _check(self) -> AdversarialConfig:
        if self.method == "fgsm" and (self.step is not None or self.steps is not None):
            raise ValueError("fgsm is one step of epsilon: remove step and steps, or use pgd")
        return self

    @property
    def iterations(self) -> int:
        """Number of steps."""
        return 1 if self.method == "fgsm" else self.steps or DEFAULT_STEPS

    @property
    def length(self) -> float:
        """Length of a step."""
        if self.method == "fgsm":
            return self.epsilon
        return self.step or 2.5 * self.epsilon / self.iterations
