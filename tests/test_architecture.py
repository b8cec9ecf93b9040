"""Imports point one way, and heavy libraries are loaded only where they are needed.

``schemas`` <- ``pipelines.augment`` <- ``pipelines.dataset`` <- ``beam_runner``
``pipelines.dataset`` <- ``pipelines.probes`` <- ``pipelines.refresh``
``schemas`` <- ``components`` <- ``pipelines.refresh`` <- ``beam_runner``
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipelines", "components", "benchmarks")
PROJECT = (*PACKAGES, "beam_runner", "tests")

# Prefix of a module to what it may import of the project; the longest matching prefix counts.
MAY_IMPORT = {
    "schemas": ("schemas",),
    "pipelines": (),
    "pipelines.command_line": ("schemas",),
    "pipelines.augment": ("schemas", "pipelines.augment"),
    "pipelines.dataset": ("schemas", "pipelines.augment", "pipelines.dataset", "pipelines.quiet"),
    "pipelines.listings": ("schemas", "pipelines.augment", "pipelines.dataset"),
    "pipelines.online": ("schemas", "pipelines.augment", "pipelines.dataset", "pipelines.online"),
    "pipelines.refresh": ("schemas", "components", "pipelines"),
    # What is written here, components only read; both divide a test split into the same slices.
    "pipelines.probes": (
        "schemas",
        "pipelines.augment",
        "pipelines.dataset",
        "pipelines.probes",
        "pipelines.code_version",
        "components.acceptance.slices",
    ),
    # A network scores and Beam spreads the work, so this one stands above both rooms.
    "pipelines.signals": ("schemas", "components", "pipelines.dataset"),
    "components": ("schemas", "components"),
    "benchmarks": ("schemas", "pipelines", "components", "benchmarks", "beam_runner"),
    "beam_runner": ("schemas", "pipelines", "components"),
}

# Library to the modules that may import it when they are loaded, and those that may in a function.
# A trailing ".*" stands for everything below.
HEAVY = {
    "tfx": (("components.shells",), ("pipelines.refresh_nodes", "pipelines.refresh_pipeline")),
    "apache_beam": (
        (
            "pipelines.dataset.survey",
            "pipelines.dataset.build",
            "pipelines.signals",
            "components.lite_evaluation",
        ),
        ("pipelines.dataset.materialize",),
    ),
    "tensorflow": (
        ("components.*", "pipelines.online"),
        ("pipelines.dataset.adversarial",),
    ),
    "keras": (("components.*",), ("pipelines.dataset.adversarial",)),
    "tensorflow_datasets": ((), ("pipelines.dataset.sources.tfds",)),
    "tensorflow_data_validation": ((), ("components.evidence", "pipelines.refresh_pipeline")),
    "tensorflow_model_analysis": ((), ("components.evidence", "components.lite_evaluation")),
    "ai_edge_litert": (("components.lite",), ()),
    "ml_metadata": ((), ("pipelines.refresh_nodes", "pipelines.refresh_store")),
    "cv2": (("pipelines.augment.*", "pipelines.probes.*"), ("pipelines.dataset.*",)),
    "nltk": ((), ("pipelines.augment.text.*",)),
    "sklearn": (("components.ngrams",), ("pipelines.dataset.sources.digits",)),
    "optuna": ((), ("components.search.study", "components.search.trials")),
    "matplotlib": ((), ("components.search.picture",)),
    "datasketch": ((), ("pipelines.dataset.near.texts",)),
}

# What runs before or without TensorFlow, although it lives in components.
LIGHT_COMPONENTS = (
    "components.acceptance.*",
    "components.artifact",
    "components.data_checks.*",
    "components.notify",
    "components.infra.*",
    "components.probes",
    "components.promotion",
    "components.push",
    "components.serving.*",
    "components.shipped",
    "components.evidence",
    "components.tree",
)


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    on_load: bool


def sources():
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))
    yield ROOT / "beam_runner.py"


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Return every import of a file; what only type checkers see does not count."""
    found = []

    def visit(node, on_load):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, on_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                pytest.fail(f"{path}:{node.lineno}: relative import")
            found.extend(
                Import(f"{node.module}.{alias.name}", node.lineno, on_load) for alias in node.names
            )
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, on_load and not inside)

    visit(ast.parse(path.read_text("utf-8")), True)
    return found


def below(module, prefix):
    return module == prefix or module.startswith(f"{prefix}.")


def matches(module, patterns):
    return any(
        below(module, pattern[:-2]) if pattern.endswith(".*") else module == pattern
        for pattern in patterns
    )


def room_of(module):
    """Return the longest prefix of MAY_IMPORT; ``pipelines.refresh_x`` counts as refresh."""
    if module.startswith("pipelines.refresh"):
        return "pipelines.refresh"
    return max((room for room in MAY_IMPORT if below(module, room)), key=len)


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_imports_point_one_way(path):
    module = name_of(path)
    allowed = MAY_IMPORT[room_of(module)]
    wrong = [
        f"line {one.line}: {one.module}"
        for one in imports_of(path)
        if one.module.split(".")[0] in PROJECT
        and not any(below(one.module, prefix) for prefix in allowed)
    ]
    assert not wrong, f"{module} may import {allowed or 'nothing of the project'}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_heavy_libraries_are_loaded_where_they_are_needed(path):
    module = name_of(path)
    if below(module, "benchmarks"):
        return
    wrong = []
    for one in imports_of(path):
        library = one.module.split(".")[0]
        if library not in HEAVY:
            continue
        on_load, in_function = HEAVY[library]
        if matches(module, on_load):
            if matches(module, LIGHT_COMPONENTS) and one.on_load:
                wrong.append(f"line {one.line}: {library}, but {module} is to stay light")
        elif one.on_load or not matches(module, in_function):
            wrong.append(f"line {one.line}: {library}")
    assert not wrong


def test_the_rules_name_modules_that_exist():
    """A rule about nothing would hold by itself."""
    modules = {name_of(path) for path in sources()}
    named = {name for rules in HEAVY.values() for some in rules for name in some}
    named |= set(LIGHT_COMPONENTS)
    for name in named:
        assert any(matches(module, (name,)) for module in modules), name


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_no_assert_outside_tests(path):
    """Python drops them under -O: a check that matters raises an error of its own."""
    tree = ast.parse(path.read_text("utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_the_checks_see_a_wrong_import(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import tfx.one\n"
        "import schemas.text as t\n"
        "class A:\n    import keras\n"
        "def f():\n    from apache_beam import io\n"
    )
    assert imports_of(path)[1:] == [
        Import("schemas.text", 4, True),
        Import("keras", 6, True),
        Import("apache_beam.io", 8, False),
    ]
