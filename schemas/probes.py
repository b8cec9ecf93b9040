"""How the test split is corrupted before a model is judged: the ``robustness:`` settings.

Needs pydantic alone, so that a recipe is validated without the kernels. `docs/robustness.md` says
what each family is; `pipelines.probes` carries them out, and a test holds the names equal.
"""

from pydantic import ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from schemas.errors import InputError, unknown_name

STRICT = ConfigDict(extra="forbid")

# The fifteen of CIFAR-10-C, then its four extra ones (Hendrycks and Dietterich, ICLR 2019).
IMAGE_FAMILIES = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
)
TEXT_FAMILIES = ("typos", "casing", "entity_swap", "paraphrase")
SEVERITIES = (1, 2, 3, 4, 5)

# What needs an engine that is installed apart is measured only where it is named.
NEEDS_ENGINE = ("paraphrase",)
FAMILIES = {"image": IMAGE_FAMILIES, "text": TEXT_FAMILIES}

# A folder of probes: this list of its files and of what they were made from, and the slices.
PROBES = "probes.json"
SLICES = "slices.parquet"
PROBES_FORMAT = 1


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Robustness:
    """Which corruptions of how many test examples a model is measured on.

    ``examples`` of the test split are corrupted: those with the smallest hash of their key, so that
    a larger number adds examples and exchanges none. ``families``: None stands for every family of
    the modality that needs nothing installed.
    """

    examples: int = 1000
    severities: tuple[int, ...] = SEVERITIES
    families: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Robustness":
        if self.examples < 1:
            raise InputError(
                f"examples must be 1 or more, not {self.examples}; to measure no corruption, "
                "remove robustness",
                path=("examples",),
            )
        _check_list("severities", self.severities)
        for position, severity in enumerate(self.severities):
            if severity not in SEVERITIES:
                raise InputError(
                    f"a severity is 1 (least) to 5, not {severity}; all of them: [1, 2, 3, 4, 5]",
                    path=("severities", position),
                )
        if self.families is None:
            return self
        _check_list("families", self.families)
        known = {*IMAGE_FAMILIES, *TEXT_FAMILIES}
        for position, name in enumerate(self.families):
            if name not in known:
                raise InputError(
                    unknown_name("corruption family", name, known), path=("families", position)
                )
        return self

    def families_of(self, modality: str) -> tuple[str, ...]:
        """Return the families to measure, in the order of the registry.

        Args:
            modality: ``"image"`` or ``"text"``.

        Raises:
            InputError: A family of the other modality is named.
        """
        names = FAMILIES[modality]
        if self.families is None:
            return tuple(name for name in names if name not in NEEDS_ENGINE)
        for position, name in enumerate(self.families):
            if name not in names:
                raise InputError(
                    f"the examples are {modality}s, and "
                    f"{unknown_name(f'{modality} corruption family', name, names)}",
                    path=("families", position),
                )
        return tuple(name for name in names if name in self.families)


def _check_list(name: str, values: tuple[object, ...]) -> None:
    if not values:
        raise InputError(f"{name} names nothing; remove the key for all of them", path=(name,))
    for position, value in enumerate(values):
        if value in values[:position]:
            raise InputError(f"{name} names {value!r} twice; remove one", path=(name, position))
