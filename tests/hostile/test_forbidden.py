"""Calls that would run what a file brings along are in no module of the project."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("schemas", "pipelines", "components", "benchmarks", "scripts")
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "joblib.load", "torch.load", "pandas.read_pickle",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all",
    "keras.config.enable_unsafe_deserialization", "enable_unsafe_deserialization",
    "pty.spawn", "subprocess.getoutput", "subprocess.getstatusoutput", "tarfile.extractall",
}  # fmt: skip
ARGUMENTS = {("allow_pickle", True), ("shell", True), ("safe_mode", False)}
LOADERS = {"UnsafeLoader", "FullLoader", "Loader", "CLoader", "UnsafeConstructor"}

# Where one of them stands, and why it is no way in.
ALLOWED = {
    ("components/prune/keras_graph.py", "safe_mode=False"): (
        "copies a network of this process by its configuration; no file is read"
    ),
    ("components/export.py", "saved_model.load"): "what this stage has just written",
    ("components/shipped.py", "saved_model.load"): "what a stage of this run made, or is live",
}


def sources():
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from (ROOT / "beam_runner.py", ROOT / "setup.py")


def name_of(node):
    """Return ``a.b.c`` of a name or an attribute, as far as it is one."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def forbidden(text):
    """Yield ``(line, what)`` of everything in a module that is forbidden."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] + [f"{node.module}.{one.name}" for one in node.names]
        for name in names:
            if name.split(".")[0] in MODULES or name in CALLS:
                yield node.lineno, name
        if isinstance(node, ast.Attribute) and node.attr in LOADERS:
            if name_of(node).startswith("yaml."):
                yield node.lineno, name_of(node)
        if isinstance(node, ast.Call):
            called = name_of(node.func)
            if called in CALLS:
                yield node.lineno, called
            if called.endswith("saved_model.load"):
                yield node.lineno, "saved_model.load"
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if (keyword.arg, value) in ARGUMENTS:
                    yield node.lineno, f"{keyword.arg}={value}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_a_file_brings(path):
    name = str(path.relative_to(ROOT))
    found = [
        (line, what)
        for line, what in forbidden(path.read_text("utf-8"))
        if (name, what) not in ALLOWED
    ]
    assert not found


def test_the_exceptions_are_needed():
    for name, what in ALLOWED:
        assert what in {one for _, one in forbidden((ROOT / name).read_text("utf-8"))}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import shelve as s", "import dill",
        "import joblib\njoblib.load(f)", "from joblib import load", "np.load(f, allow_pickle=True)",
        "yaml.load(f, Loader=yaml.SafeLoader)", "yaml.load_all(f)", "x = yaml.UnsafeLoader",
        "yaml.full_load(f)", "subprocess.run(c, shell=True)", "eval(x)", "exec(x)",
        "os.system(c)", "load_model(p, safe_mode=False)", "SafeModeScope(safe_mode=False)",
        "tf.saved_model.load(p)", "keras.config.enable_unsafe_deserialization()",
    ],
)  # fmt: skip
def test_the_check_sees(text):
    assert list(forbidden(text))


@pytest.mark.parametrize(
    "text",
    ["np.load(f)", "model.eval_shape()", "load_model(p, safe_mode=True)", "yaml.safe_load(f)",
     "yaml.compose(t, Loader=yaml.SafeLoader)", "subprocess.run([c])", "json.load(f)"],
)  # fmt: skip
def test_the_check_lets_pass(text):
    assert not list(forbidden(text))
