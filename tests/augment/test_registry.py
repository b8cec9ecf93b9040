import sys

import numpy as np
import pytest

import pipelines.augment.image
from pipelines.augment import registry
from pipelines.augment.draws import Draws
from pipelines.augment.params import Flag, Seed, Symmetric
from pipelines.augment.registry import image_op
from schemas.errors import InputError


@pytest.fixture
def own_registry(monkeypatch):
    """Let a test register ops without leaving them behind."""
    registry.load_all()
    monkeypatch.setattr(registry, "_OPS", dict(registry._OPS))


def test_names_are_listed_by_modality():
    images, texts = registry.names("image"), registry.names("text")
    assert images == sorted(images)
    assert {"rotate", "brightness", "gaussian_noise"} <= set(images)
    assert sorted(images + texts) == registry.names()


def test_unknown_op_lists_the_nearest_and_all():
    with pytest.raises(InputError, match="unknown op 'rotat'. Did you mean 'rotate'.*zoom"):
        registry.get("rotat")


def test_a_new_file_in_the_package_is_found(own_registry, tmp_path, monkeypatch):
    source = '''
import numpy as np
from pipelines.augment.params import Flag
from pipelines.augment.registry import image_op

@image_op("found", family="colour", kind="pixel", version=1, params={"on": Flag()})
def found(images, *, on):
    """Invert grey levels."""
    return np.where(on[:, None, None, None] == 1, 255 - images, images)
'''
    (tmp_path / "found_by_itself.py").write_text(source)
    path = [*pipelines.augment.image.__path__, str(tmp_path)]
    monkeypatch.setattr(pipelines.augment.image, "__path__", path)
    try:
        assert registry.get("found").summary == "Invert grey levels."
    finally:
        del sys.modules["pipelines.augment.image.found_by_itself"]


def test_table_holds_what_a_listing_needs():
    rows = {row["name"]: row for row in registry.table()}
    assert list(rows["rotate"]) == [
        "name",
        "modality",
        "family",
        "kind",
        "version",
        "parameters",
        "summary",
    ]
    assert rows["rotate"]["parameters"] == {"degrees": 20.0, "fill": "nearest", "fill_value": 0}
    assert rows["gaussian_noise"]["parameters"] == {"sigma": [0.0, 16.0], "seed": "random"}


def test_configure_leaves_the_registered_op_alone():
    wide = registry.get("rotate").configure({"degrees": 90, "fill": "wrap"})
    assert wide.defaults() == {"degrees": 90.0, "fill": "wrap", "fill_value": 0}
    assert registry.get("rotate").defaults()["degrees"] == 20.0
    drawn = wide.sample(Draws.root(1, [str(i) for i in range(500)], 1), 1.0)["degrees"]
    assert np.abs(drawn).max() > 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angle": 3}, "rotate: unknown option 'angle'.*degrees, fill, fill_value"),
        ({"degrees": 400}, r"rotate: degrees must be in \[0, 180\], got 400"),
        ({"fill": "reflekt"}, "rotate: fill unknown value 'reflekt'. Did you mean 'reflect'"),
        ({"fill_value": -1}, r"rotate: fill_value must be in \[0, 255\], got -1"),
    ],
)
def test_configure_refuses(options, message):
    with pytest.raises(InputError, match=message) as caught:
        registry.get("rotate").configure(options)
    assert caught.value.path == tuple(options)


def test_registering_refuses_what_would_confuse(own_registry):
    def documented(images, **params):
        """Do nothing."""

    def undocumented(images, **params):
        pass

    common = {"family": "f", "kind": "pixel", "version": 1}
    with pytest.raises(ValueError, match="'rotate' is registered twice"):
        image_op("rotate", params={}, **common)(documented)
    with pytest.raises(ValueError, match="words of the recipe: rename"):
        image_op("new", params={"strength": Flag()}, **common)
    with pytest.raises(ValueError, match="no docstring"):
        image_op("new", params={}, **common)(undocumented)


def test_stored_parameters_keep_their_values():
    draws = Draws.root(1, ["a", "b"], 1)
    for param in (Symmetric(180.0), Flag(0.5), Seed()):
        values = param.sample(draws, 1.0)
        stored = registry.as_stored(param, values)
        assert stored.dtype == (np.int64 if param.integer else np.float32)
        assert (stored.astype(values.dtype) == values).all()
