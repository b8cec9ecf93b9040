"""Recipes, overrides and outputs that are refused before anything is read or written."""

import os
from pathlib import Path

from tests.hostile.harness import Case
from tests.hostile.inputs import MATERIALIZE, write_films, write_recipe

YAML = "name: mine\nmodality: text\nsource: {kind: csv, path: f.csv, label: a, text: b}\n"


def yaml_file(data, says="mine.yaml"):
    data = data.encode() if isinstance(data, str) else data
    return Case(lambda: Path("mine.yaml").write_bytes(data) and None, MATERIALIZE, says)


def recipe(says, **changes):
    return Case(lambda: write_recipe(**changes), MATERIALIZE, says)


def laughs(levels=9):
    rows = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9) if i else 'lol'}]" for i in range(levels)]
    return "\n".join(rows)


def named(argument, says="", make=lambda: None):
    """A recipe or dataset argument as it stands on the command line."""
    return Case(make, ("materialize", argument, "--output", "out"), says)


def setting(*settings, says="--set"):
    flags = [one for text in settings for one in ("--set", text)]
    return Case(write_films, (*MATERIALIZE, *flags), says)


def output(make, where="out", says=""):
    def lay_out():
        write_films()
        make()

    return Case(lay_out, ("materialize", "mine.yaml", "--output", where), says)


def loop():
    os.symlink("out", "out")


def fifo(path):
    return lambda: os.mkfifo(path)


CASES = {
    # YAML
    "yaml: billion laughs": yaml_file(laughs(), "anchors and aliases"),
    "yaml: alias to itself": yaml_file("a: &a [*a]\n", "anchors and aliases"),
    "yaml: alias in a flow": yaml_file(YAML + "policy: {a: &p {}, b: *p}\n", "anchors"),
    "yaml: merge key": yaml_file(YAML + "<<: {seed: 3}\npolicy: {}\n", "unknown key"),
    "yaml: merge of an anchor": yaml_file("a: &a {b: 1}\n<<: *a\n", "anchors"),
    "yaml: nested lists": yaml_file("policy: " + "[" * 5000 + "]" * 5000, "nested deeper"),
    "yaml: nested mappings": yaml_file("{a: " * 40 + "1" + "}" * 40, "nested deeper"),
    "yaml: nested blocks": yaml_file("- " * 100_000, "nested deeper"),
    "yaml: nested keys": yaml_file("? " * 100_000, "nested deeper"),
    "yaml: 100 megabytes": Case(
        lambda: Path("mine.yaml").touch() or os.truncate("mine.yaml", 100 << 20),
        MATERIALIZE,
        "larger than",
    ),
    "yaml: a megabyte of list": yaml_file("- a\n" * 260_000, "larger than"),
    "yaml: many keys": yaml_file("".join(f"k{i}: 1\n" for i in range(9_000)), "unknown key 'k0'"),
    "yaml: tab": yaml_file("name:\n\tmine\n", "mine.yaml:2: not valid YAML"),
    "yaml: duplicate key": yaml_file(YAML + "name: other\n", "'name' stands twice"),
    "yaml: duplicate key below": yaml_file("source: {kind: csv, kind: csv}\n", "stands twice"),
    "yaml: python object": yaml_file("a: !!python/object/apply:os.system ['touch x']\n", "tags"),
    "yaml: python name": yaml_file("a: !!python/name:os.system\n", "tags"),
    "yaml: python module": yaml_file("!!python/module:os\n", "tags"),
    "yaml: tag directive": yaml_file("%TAG ! tag:yaml.org,2002:python/\n---\na: !object:x {}\n"),
    "yaml: set": yaml_file("a: !!set {b, c}\n", "tags"),
    "yaml: binary tag": yaml_file("name: !!binary bWluZQ==\n", "tags"),
    "yaml: future version": yaml_file("%YAML 9.9\n---\nname: mine\n", "not valid YAML"),
    "yaml: binary": yaml_file(bytes(range(256)), "not UTF-8"),
    "yaml: zeros": yaml_file(bytes(100), "not valid YAML"),
    "yaml: UTF-16": yaml_file(YAML.encode("utf-16"), "not UTF-8"),
    "yaml: bell": yaml_file("name: \a\n", "not valid YAML"),
    "yaml: escape sequence": yaml_file(YAML + 'policy: {"\\e[2J": 1}\n', "policy"),
    "yaml: lone surrogate": yaml_file(YAML + 'policy: {preset: "\\ud800"}\n', "not text"),
    "yaml: right-to-left override": yaml_file("na\u202eme: mine\n", r"'na\u202eme'"),
    "yaml: homoglyph key": yaml_file(YAML.replace("name", "n\u0430me"), "unknown key"),
    "yaml: full-width digits": recipe("valid integer", copies="\uff11"),
    "yaml: line separator in a name": recipe("name", name="mi\u2028ne"),
    "yaml: newline in a name": recipe("name", name="mine\n"),
    "yaml: two documents": yaml_file(YAML + "---\n" + YAML, "not valid YAML"),
    "yaml: mapping as a key": yaml_file("? {a: b}\n: c\n", "key must be plain text"),
    "yaml: empty": yaml_file("", "mapping of keys"),
    "yaml: a list": yaml_file("- name\n- mine\n", "mapping of keys"),
    "yaml: a word": yaml_file("mine\n", "mapping of keys"),
    "yaml: huge whole number": yaml_file("seed: " + "9" * 5_000 + "\n", "mine.yaml"),
    "yaml: sexagesimal": yaml_file(YAML + "policy: {}\ncopies: 1:00:00\n", "mine.yaml"),
    "yaml: NaN": recipe("eval_share", splits={"eval_share": float("nan"), "test": None}),
    "yaml: infinity": recipe("eval_share", splits={"eval_share": float("inf"), "test": None}),
    "yaml: infinite copies": recipe("copies", copies=float("inf")),
    "yaml: NaN seed": recipe("seed", seed=float("nan")),
    "yaml: copies as a float": recipe("copies", copies=1.0),
    "yaml: copies as a boolean": recipe("copies", copies=True),
    "yaml: negative copies": recipe("copies", copies=-1),
    "yaml: a billion copies": recipe("copies", copies=10**9),
    "yaml: seed beyond 64 bits": recipe("seed", seed=2**64),
    "yaml: slices of nothing": recipe("slice_size", slice_size=0),
    "yaml: images of four gigapixels": recipe("size", image={"size": [65_536, 65_536]}),
    "yaml: a vocabulary of everything": recipe("vocabulary", survey={"vocabulary": 10**12}),
    "yaml: source is a list": yaml_file(
        YAML.replace("{kind: csv, path: f.csv, label: a, text: b}", "[1]"), "source"
    ),
    "yaml: policy is text": recipe("policy", policy="classic"),
    "yaml: splits is null": recipe("splits", splits=None),
    "yaml: kind is a mapping": Case(
        lambda: (
            Path("mine.yaml").write_text(
                YAML.replace("kind: csv", "kind: {a: 1}") + "policy: {preset: none}\ncopies: 0\n"
            )
            and None
        ),
        MATERIALIZE,
        "source.kind",
    ),
    "yaml: key of a megabyte": yaml_file(f"? {'k' * 200_000}\n: 1\n", "unknown key"),
    "yaml: value of a megabyte": recipe("copies", copies="x" * 200_000),
    # Names of recipes
    "name: with a path": recipe("name", name="../../escaped"),
    "name: absolute": recipe("name", name="/tmp/escaped"),
    "name: of a device": recipe("name", name="con/../nul"),
    "name: dots": recipe("name", name=".."),
    "name: empty": recipe("name", name=""),
    "name: long": recipe("name", name="a" * 5_000),
    "name: number": recipe("name", name=3),
    # The argument
    "recipe: parent folders": named("../../../../etc/passwd", ""),
    "recipe: shipped by a path": named("../digits", "no such recipe file"),
    "recipe: a folder": named("/", ""),
    "recipe: dot": named(".", ""),
    "recipe: empty": named("", ""),
    "recipe: NUL": named("mine\0.yaml", ""),
    "recipe: 100,000 characters": named("a" * 100_000, "unknown recipe"),
    "recipe: a long path": named("a" * 300 + ".yaml", "recipe"),
    "recipe: a deep path": named("a/" * 5_000 + "b.yaml", "recipe"),
    "recipe: newline": named("mine\nerror: forged.yaml", "no such recipe file"),
    "recipe: escape sequence": named("\x1b]0;owned\x07.yaml", "no such recipe file"),
    "recipe: not UTF-8": named("\udcff.yaml", "no such recipe file"),
    "recipe: link to itself": named("l.yaml", "recipe", lambda: os.symlink("l.yaml", "l.yaml")),
    "recipe: link to nothing": named("l.yaml", "recipe", lambda: os.symlink("gone", "l.yaml")),
    "recipe: fifo": named("f.yaml", "recipe", fifo("f.yaml")),
    "recipe: device": named("/dev/zero", "recipe"),
    "recipe: endless device by a link": named(
        "z.yaml", "recipe", lambda: os.symlink("/dev/zero", "z.yaml")
    ),
    # --set
    "set: no value": setting("copies", says="must read key=value"),
    "set: no key": setting("=3", says="must read key=value"),
    "set: below a value": setting("copies.a=3", says="--set copies"),
    "set: dunder": setting("__class__=3", says="unknown key"),
    "set: attribute": setting("splits.__init__.__globals__=3"),
    "set: dots": setting("...=1"),
    "set: tag": setting("copies=!!python/object/apply:os.system [id]", says="tags"),
    "set: alias": setting("copies=*x", says="anchors"),
    "set: unclosed": setting("copies=[", says="not a plain YAML value"),
    "set: nested": setting("policy=" + "[" * 3_000, says="nested deeper"),
    "set: NUL": setting("name=mi\0ne"),
    "set: surrogate": setting("name=\udcff"),
    "set: path in the name": setting("name=../up", says="name must be"),
    "set: 3,000 levels": setting(".".join("a" * 3_000) + "=1", says="levels"),
    "set: a long value": setting("copies=" + "x" * 100_000),
    "set: whole source away": setting("source=", says="source"),
    "set: index into nothing": setting("policy.slots.0.op=rotate"),
    "set: full-width index": setting("policy={slots: [1]}", "policy.slots.\uff10=1"),
    "set: superscript index": setting("policy={slots: [1]}", "policy.slots.\u00b2=1"),
    # --output
    "output: a file": output(lambda: Path("out").write_text("mine"), says="cannot create"),
    "output: below a file": output(lambda: Path("out").touch(), "out/deep", "cannot create"),
    "output: a link to nothing": output(lambda: os.symlink("/nowhere/x", "out"), says="cannot"),
    "output: a link to itself": output(loop, says="cannot create"),
    "output: a fifo": output(fifo("out"), says="cannot create"),
    "output: a device": output(lambda: None, "/dev/null", "cannot create"),
    "output: proc": output(lambda: None, "/proc/1/x", "cannot create"),
    "output: NUL": output(lambda: None, "o\0ut", "cannot create"),
    "output: long": output(lambda: None, "o" * 300, "cannot create"),
    "output: newline and a file": output(
        lambda: Path("o\nerror: forged").touch(), "o\nerror: forged", "cannot create"
    ),
    "output: unknown store": output(lambda: None, "nowhere://x/y", "nowhere"),
    # Beam flags
    "beam: unknown flag": Case(write_films, (*MATERIALIZE, "--nonsense=1"), "'--nonsense=1'"),
    "beam: runner by a path": Case(
        write_films, (*MATERIALIZE, "--runner=../../etc/passwd"), "--runner"
    ),
    "beam: runner is code": Case(
        write_films, (*MATERIALIZE, "--runner=os.system('touch x')"), "--runner"
    ),
    "beam: workers": Case(write_films, (*MATERIALIZE, "--direct_num_workers=many"), "Beam"),
}
