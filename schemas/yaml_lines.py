"""YAML read with the line of every value, so that an error can say where it stands.

Only plain data is accepted: no tags, no anchors or aliases (which let a small file expand without
bound), no duplicate keys, at most ``MAX_BYTES`` and ``MAX_DEPTH`` levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from schemas.errors import InputError

MAX_BYTES = 1 << 18
MAX_DEPTH = 32

KeyPath = tuple[str | int, ...]


def load_yaml(path: Path) -> tuple[Any, dict[KeyPath, int]]:
    """Return the value of a YAML file and the line (from 1) of every key path in it.

    Raises:
        InputError: The file cannot be read, is not plain YAML, or is too large or too deep.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot read the file: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES} bytes; a recipe is a short text file.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error
    return _load(text, path)


def parse_scalar(text: str) -> Any:
    """Return the value that ``text`` has in YAML (``3`` is a number, ``[1, 2]`` a list).

    Raises:
        InputError: The text is not valid YAML.
    """
    try:
        return _load(text, Path("value"))[0]
    except InputError as error:
        raise InputError(
            f"{text[:60]!r} is not a plain YAML value ({error}) Quote it if it is text."
        ) from error


def _load(text: str, path: Path) -> tuple[Any, dict[KeyPath, int]]:
    try:
        _refuse_the_unplain(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not valid YAML: {reason}.") from error
    lines: dict[KeyPath, int] = {}
    value = None if node is None else _value(node, (), lines, path)
    return value, lines


def _refuse_the_unplain(text: str, path: Path) -> None:
    """Refuse anchors, aliases, tags and deep nesting from the events, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{path}:{event.start_mark.line + 1 if event.start_mark else 1}"
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            raise InputError(
                f"{where}: anchors and aliases (&{anchor}, *{anchor}) are not accepted; "
                "write the value out."
            )
        if tag is not None:
            raise InputError(f"{where}: tags ({tag}) are not accepted; write a plain value.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise InputError(f"{where}: nested deeper than {MAX_DEPTH} levels.")


def _value(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path) -> Any:
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, path)
    return _scalar(node, path)


def _mapping(
    node: yaml.MappingNode, at: KeyPath, lines: dict[KeyPath, int], path: Path
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(f"{path}:{line}: a key must be plain text.")
        key = _text(key_node, path)
        if key in result:
            raise InputError(f"{path}:{line}: the key {key!r} stands twice; keep one.")
        result[key] = _value(value_node, (*at, key), lines, path)
        lines[(*at, key)] = line
    return result


def _scalar(node: yaml.Node, path: Path) -> Any:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        line = node.start_mark.line + 1
        raise InputError(f"{path}:{line}: {node.value!r} is not plain data ({error}).") from error
    finally:
        loader.dispose()
    if value is None or isinstance(value, int | float | bool):
        return value
    return _text(node, path)  # dates and the like stay text


def _text(node: yaml.Node, path: Path) -> str:
    """Return a node as text; an escape may name half of a surrogate pair, which is none."""
    text = str(node.value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = node.start_mark.line + 1
        raise InputError(f"{path}:{line}: {text!r} is not text that UTF-8 can hold.") from error
    return text
