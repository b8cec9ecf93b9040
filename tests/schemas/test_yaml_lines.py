"""Recipes are plain YAML: what is not is refused, and every value knows its line."""

import pytest

from schemas.errors import InputError
from schemas.yaml_lines import MAX_BYTES, load_yaml, parse_scalar


def write(tmp_path, content):
    path = tmp_path / "some.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_returns_values_and_the_line_of_every_key_path(tmp_path):
    text = "a: 1\nb:\n  - x\n  - c: 2.5\n    d: null\n'3': yes\nday: 2026-11-24\n"
    value, lines = load_yaml(write(tmp_path, text))
    assert value == {
        "a": 1,
        "b": ["x", {"c": 2.5, "d": None}],
        "3": True,
        "day": "2026-11-24",
    }
    assert lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
        ("b", 1, "d"): 5,
        ("3",): 6,
        ("day",): 7,
    }


REFUSED = {
    "anchor": ("a: &x 1\nb: 2\n", ":1:", "anchors and aliases"),
    "alias of a whole tree": ("a: 1\nb: &x [1]\nc: *x\n", ":2:", "anchors and aliases"),
    "merge key by alias": ("a: &x {b: 1}\nc: {<<: *x}\n", ":1:", "anchors"),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", ":3:", "'a' stands twice"),
    "duplicate key below": ("a:\n  b: 1\n  b: 1\n", ":3:", "'b' stands twice"),
    "python object": ("a: !!python/object/apply:os.system [id]\n", ":1:", "tags"),
    "tag on a mapping": ("a: 1\nb: !thing {c: 1}\n", ":2:", "tags"),
    "tag that does not fit": ("a: !!bool maybe\n", ":1:", "tags"),
    "mapping as a key": ("? {a: 1}\n: 2\n", ":1:", "a key must be plain text"),
    "unclosed bracket": ("a: 1\nb: [1, 2\nc: 3\n", ":3:", "not valid YAML"),
    "tab": ("a:\n\tb: 1\n", ":2:", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", ":2:", "not valid YAML"),
    "control character": ("a: \x07\n", "", "not valid YAML"),
    "not UTF-8": (b"a: \xff\n", "", "not UTF-8 text (byte 3)"),
    "too deep": ("[" * 33 + "]" * 33, ":1:", "deeper than 32"),
    "deep enough to exhaust a stack": ("a: " + "[" * 200_000, ":1:", "deeper than 32"),
    "too large": ("# é" * MAX_BYTES, "", f"larger than {MAX_BYTES}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(tmp_path, case):
    content, line, reason = REFUSED[case]
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        load_yaml(path)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{path}{line}")


def test_accepts_what_is_just_deep_and_large_enough(tmp_path):
    deep = "[" * 32 + "]" * 32
    assert load_yaml(write(tmp_path, deep))[0] is not None
    large = "a: 1\n# " + "x" * (MAX_BYTES - 7)
    assert len(large) == MAX_BYTES
    assert load_yaml(write(tmp_path, large))[0] == {"a": 1}


def test_empty_file_holds_nothing(tmp_path):
    assert load_yaml(write(tmp_path, "# only a comment\n"))[0] is None


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the file: No such file"):
        load_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("null", None),
        ("true", True),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("2026-11-24", "2026-11-24"),
        ("'3'", "3"),
        ("", None),
    ],
)
def test_scalars_have_the_value_they_would_have_in_a_file(text, value):
    assert parse_scalar(text) == value


@pytest.mark.parametrize("text", ["[1", "&a 1", "!!int 3", "[" * 5000, "{a: 1, a: 2}", "\x00"])
def test_refuses_scalars_that_are_not_plain(text):
    with pytest.raises(InputError, match="not a plain YAML value"):
        parse_scalar(text)
