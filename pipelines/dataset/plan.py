"""Plan: a recipe resolved against the data, the registry and the installed libraries."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import category

from pipelines.augment.policy import Policy, parse_policy
from pipelines.dataset import files, near
from pipelines.dataset.adversarial import Attack
from pipelines.dataset.images import PNG_ENCODER
from pipelines.dataset.records import GZIP_LEVEL
from pipelines.dataset.slices import Job, SliceTask, plan_tasks
from pipelines.dataset.sources import MAX_CLASSES, Source, open_enforced
from schemas.canonical import digest
from schemas.errors import InputError, shortened
from schemas.features import ExampleSchema
from schemas.recipe import Recipe, RecipeFile

FINGERPRINT_VERSION = 1
FINGERPRINT_DIGITS = 12
MAX_CLASS_NAME = 200
_NOT_IN_NAMES = frozenset(("Cc", "Cs", "Zl", "Zp"))
ATTACK_LIBRARIES = ("tensorflow", "keras")
LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "deflate",
    "pyarrow",
    "protobuf",
    "nltk",
    "datasketch",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a run needs, picklable.

    Attributes:
        name: The recipe's name.
        content: The recipe as a plain mapping, for the manifest.
        fingerprint: Digest of all that decides the bytes.
        source_identity: What the source data is.
        policy_identity: Ops with versions and numbers, digests of the corpora they use.
        versions: Library versions that the bytes depend on.
        schema_pbtxt: The TF Metadata schema that the dataset obeys, where one is enforced.
        new_schema: Path and content of an inferred schema that is not written yet.
        notes: What the user is told before the run.
        job: What the tasks share.
        tasks: One per source slice.
    """

    name: str
    content: dict[str, Any]
    fingerprint: str
    source_identity: dict[str, Any]
    policy_identity: dict[str, Any]
    versions: dict[str, str]
    schema_pbtxt: str | None
    new_schema: tuple[str, str] | None
    notes: tuple[str, ...]
    job: Job
    tasks: tuple[SliceTask, ...]

    @property
    def shards(self) -> int:
        """Number of shards of the whole dataset."""
        return sum(len(task.shards) for task in self.tasks)


def make_plan(file: RecipeFile, output_root: str) -> Plan:
    """Resolve a recipe into a plan whose dataset lies at ``<root>/<name>/<fingerprint12>``.

    Raises:
        InputError: The source has no data, or the policy names what does not exist; located.
    """
    try:
        return _plan(file, output_root)
    except InputError as error:
        if error.path:
            raise file.located(error) from error
        raise


def _plan(file: RecipeFile, output_root: str) -> Plan:
    recipe = file.recipe
    try:
        policy = parse_policy(recipe.policy, recipe.modality)
        policy_identity = policy.to_json() | {"resources": policy.resources()}
    except InputError as error:
        raise error.under("policy") from error
    opened = open_enforced(recipe, file.origin)
    source = opened.source
    _check_sizes(recipe, source)
    _check_names(source.label_names)
    schema = ExampleSchema(
        modality=recipe.modality,
        label_names=tuple(source.label_names),
        encoding=recipe.image.encoding if recipe.modality == "image" else "utf8",
        image_shape=_image_shape(recipe, source),
        soft_labels=policy.mixes(),
        weights=recipe.balance == "weights",
        tokens=recipe.text.tokens if recipe.text.store_tokens else 0,
    )
    attack = _attack(recipe, policy)
    source_identity = source.identity()
    pbtxt = opened.stored_pbtxt(schema)
    fingerprint = _fingerprint(recipe, schema, source_identity, policy_identity, attack, pbtxt)
    libraries = (*LIBRARIES, *(ATTACK_LIBRARIES if attack else ()))
    versions = {name: importlib.metadata.version(name) for name in libraries}
    job = Job(
        output=files.join(output_root, recipe.name, fingerprint[:FINGERPRINT_DIGITS]),
        source=source,
        schema=schema,
        splits=recipe.splits,
        policy=policy,
        seed=recipe.seed,
        on_bad_record=recipe.on_bad_record,
        stamp=digest({"fingerprint": fingerprint, "versions": versions}),
        image=recipe.image,
        text=recipe.text,
        vocabulary=recipe.survey.vocabulary,
        leakage=recipe.leakage,
        balance=recipe.balance,
        copies=_copies(recipe, policy),
        attack=attack,
        resources=policy_identity["resources"],
    )
    tasks = plan_tasks(source, recipe.splits, copies=job.copies, slice_size=recipe.slice_size)
    return Plan(
        name=recipe.name,
        content=file.content,
        fingerprint=fingerprint,
        source_identity=source_identity,
        policy_identity=policy_identity,
        versions=versions,
        schema_pbtxt=pbtxt,
        new_schema=opened.new_file(),
        notes=opened.notes,
        job=job,
        tasks=tuple(tasks),
    )


def _fingerprint(
    recipe: Recipe,
    schema: ExampleSchema,
    source_identity: dict[str, Any],
    policy_identity: dict[str, Any],
    attack: Attack | None,
    pbtxt: str | None,
) -> str:
    splits = recipe.splits
    sketches = near.sketcher(recipe.modality).VERSION
    # Named only where they are set: they came later, and fingerprints of other datasets stay.
    later = {
        "image": recipe.image.size and [recipe.image.size, recipe.image.fit],
        "text": recipe.text.store_tokens and [recipe.text.truncate, recipe.text.pad],
        "balance": recipe.balance,
        "leakage": recipe.leakage != "off" and [recipe.leakage, sketches],
        "adversarial": attack and attack.identity(),
        "schema_pbtxt": pbtxt,
    }
    return digest(
        {
            "version": FINGERPRINT_VERSION,
            "source": source_identity,
            "schema": schema.to_json(),
            "encoder": {"png": PNG_ENCODER, "raw": "raw", "utf8": f"gzip-libdeflate-{GZIP_LEVEL}"}[
                schema.encoding
            ],
            "splits": [splits.train, splits.test, splits.eval_share, splits.test_share],
            "policy": policy_identity,
            "seed": recipe.seed,
            "copies": recipe.copies,
            "slice_size": recipe.slice_size,
            "vocabulary": recipe.survey.vocabulary if recipe.modality == "text" else None,
            "on_bad_record": recipe.on_bad_record,
        }
        | {name: value for name, value in later.items() if value}
    )


def _check_sizes(recipe: Recipe, source: Source) -> None:
    for split in (recipe.splits.train, recipe.splits.test):
        if split is not None and source.sizes[split] == 0:
            raise InputError(f"the source split {split!r} is empty.", path=("source",))


def _check_names(names: Sequence[str]) -> None:
    """Refuse class names that are data, or that no terminal and no report can show.

    Raises:
        InputError: Naming the first.
    """
    if len(names) > MAX_CLASSES:
        raise InputError(
            f"the source has {len(names):,} classes; at most {MAX_CLASSES:,} are read. "
            "Is it the right label?",
            path=("source",),
        )
    for name in names:
        if len(name) > MAX_CLASS_NAME or any(category(one) in _NOT_IN_NAMES for one in name):
            raise InputError(
                f"the class name {shortened(name, 80)!r} must be at most {MAX_CLASS_NAME} "
                "characters on one line, without control characters. Is it the right label?",
                path=("source",),
            )


def _image_shape(recipe: Recipe, source: Source) -> tuple[int, int, int] | None:
    if source.image_shape is None:
        return None
    height, width = recipe.image.size or source.image_shape[:2]
    if height is None or width is None:
        raise InputError(
            "the source's images have different sizes; give the size that all are brought to, "
            "e.g. size: [224, 224].",
            path=("image",),
        )
    return height, width, recipe.image.channels or source.image_shape[2]


def _attack(recipe: Recipe, policy: Policy) -> Attack | None:
    if recipe.adversarial is None:
        return None
    if policy.mixes():
        raise InputError(
            "adversarial moves an image away from its one label, but the policy mixes examples; "
            "remove one of the two.",
            path=("adversarial",),
        )
    return Attack.plan(recipe.adversarial)


def _copies(recipe: Recipe, policy: Policy) -> int:
    if recipe.copies and not policy.calls() and recipe.adversarial is None:
        raise InputError(
            f"{recipe.copies} copies by a policy without ops would repeat the originals; "
            "set copies: 0, or name a policy that augments.",
            path=("copies",),
        )
    return recipe.copies
