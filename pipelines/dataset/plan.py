"""Plan: a recipe resolved against the data, the registry and the installed libraries."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

from pipelines.augment.policy import Policy, parse_policy
from pipelines.dataset import files
from pipelines.dataset.images import PNG_ENCODER
from pipelines.dataset.records import GZIP_LEVEL
from pipelines.dataset.slices import Job, SliceTask, plan_tasks
from pipelines.dataset.sources import Source, open_source
from schemas.canonical import digest
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.recipe import Recipe, RecipeFile

FINGERPRINT_VERSION = 1
FINGERPRINT_DIGITS = 12
LIBRARIES = ("numpy", "opencv-python-headless", "deflate", "pyarrow", "protobuf", "nltk")


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
        vocabulary: Number of vocabulary entries.
        job: What the tasks share.
        tasks: One per source slice.
    """

    name: str
    content: dict[str, Any]
    fingerprint: str
    source_identity: dict[str, Any]
    policy_identity: dict[str, Any]
    versions: dict[str, str]
    vocabulary: int
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
        return _plan(file.recipe, file.content, output_root)
    except InputError as error:
        if error.path:
            raise file.located(error) from error
        raise


def _plan(recipe: Recipe, content: dict[str, Any], output_root: str) -> Plan:
    try:
        policy = parse_policy(recipe.policy, recipe.modality)
        policy_identity = policy.to_json() | {"resources": policy.resources()}
    except InputError as error:
        raise error.under("policy") from error
    if "ngrams" in policy.needs():
        raise InputError(
            "generate_sentence needs language models of the training split, which materialize "
            "does not train yet; take it out of the policy.",
            path=("policy",),
        )
    source = open_source(recipe)
    _check_sizes(recipe, source)
    schema = ExampleSchema(
        modality=recipe.modality,
        label_names=tuple(source.label_names),
        encoding=recipe.image.encoding if recipe.modality == "image" else "utf8",
        image_shape=source.image_shape,
        soft_labels=policy.mixes(),
    )
    source_identity = source.identity()
    fingerprint = _fingerprint(recipe, schema, source_identity, policy_identity)
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    job = Job(
        output=files.join(output_root, recipe.name, fingerprint[:FINGERPRINT_DIGITS]),
        source=source,
        schema=schema,
        splits=recipe.splits,
        policy=policy,
        seed=recipe.seed,
        on_bad_record=recipe.on_bad_record,
        stamp=digest({"fingerprint": fingerprint, "versions": versions}),
    )
    tasks = plan_tasks(
        source, recipe.splits, copies=_copies(recipe, policy), slice_size=recipe.slice_size
    )
    return Plan(
        name=recipe.name,
        content=content,
        fingerprint=fingerprint,
        source_identity=source_identity,
        policy_identity=policy_identity,
        versions=versions,
        vocabulary=recipe.survey.vocabulary,
        job=job,
        tasks=tuple(tasks),
    )


def _fingerprint(
    recipe: Recipe,
    schema: ExampleSchema,
    source_identity: dict[str, Any],
    policy_identity: dict[str, Any],
) -> str:
    splits = recipe.splits
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
    )


def _check_sizes(recipe: Recipe, source: Source) -> None:
    for split in (recipe.splits.train, recipe.splits.test):
        if split is not None and source.sizes[split] == 0:
            raise InputError(f"the source split {split!r} is empty.", path=("source",))


def _copies(recipe: Recipe, policy: Policy) -> int:
    if recipe.copies and not policy.calls():
        raise InputError(
            f"{recipe.copies} copies by a policy without ops would repeat the originals; "
            "set copies: 0, or name a policy that augments.",
            path=("copies",),
        )
    return recipe.copies
