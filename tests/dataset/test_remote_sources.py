"""Own data on an object store: a folder stands for the bucket, pyarrow's file system for the rest.

Only the look-up of the store is replaced; no test may need one of the cloud's.
"""

import pyarrow.fs
import pytest

from pipelines.dataset import files
from pipelines.dataset.sources import BadRecord, csv, image_folder, keep, open_enforced, parquet
from schemas.errors import InputError
from tests.dataset.support import parsed
from tests.dataset.test_image_folder import CLASSES, write
from tests.dataset.test_tables import LABELS, TEXTS, WRITERS, image_table


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A folder that is ``gs://bucket``."""
    root = tmp_path / "bucket"
    root.mkdir()
    local = pyarrow.fs.LocalFileSystem()
    store = pyarrow.fs.SubTreeFileSystem(str(tmp_path), local)
    monkeypatch.setattr(files, "_remote", lambda path: (store, path.removeprefix("gs://")))
    return root


def whole(source):
    return list(source.read("train", 0, source.sizes["train"]))


def test_image_folder(bucket):
    write(bucket / "pets", CLASSES)
    there = image_folder.prepare(image_folder.Config(path="gs://bucket/pets"))
    here = image_folder.prepare(image_folder.Config(path=str(bucket / "pets")))
    assert whole(there) == whole(here)
    assert there.identity() == here.identity()
    with pytest.raises(InputError, match="gs://bucket/none holds no file"):
        image_folder.prepare(image_folder.Config(path="gs://bucket/none"))


@pytest.mark.parametrize("kind", [csv, parquet])
def test_tables(bucket, kind):
    name = kind.__name__.rsplit(".", 1)[1]
    for part in (1, 2):
        WRITERS[name](bucket / f"a/{part}.{name}", {"text": TEXTS, "label": LABELS})
    (bucket / f"a/more/3.{name}").parent.mkdir()
    (bucket / f"a/more/3.{name}").touch()
    settings = {"label": "label", "text": "text"}
    there = kind.prepare(kind.Config(path=f"gs://bucket/a/*.{name}", **settings))
    here = kind.prepare(kind.Config(path=str(bucket / f"a/*.{name}"), **settings))
    assert whole(there) == whole(here)
    assert len(whole(there)) == 2 * len(TEXTS)
    assert there.identity() == here.identity()
    with pytest.raises(InputError, match="gs://bucket/b.csv: no such file"):
        kind.prepare(kind.Config(path="gs://bucket/b.csv", **settings))


def test_images_beside_a_table_and_a_schema(bucket):
    image_table(bucket, "csv", ["pictures/0.png", "pictures/1.png", "../secret.png"])
    source = {"kind": "csv", "path": "gs://bucket/t.csv", "label": "label", "image": "file"}
    content = {"name": "mine", "modality": "image", "source": source, "policy": {"preset": "none"}}
    content |= {"splits": {"test": None}, "copies": 0, "schema": "gs://bucket/mine.pbtxt"}
    found = open_enforced(parsed(content).recipe, "somewhere/mine.yaml")
    keep(*found.new_file())
    assert found.notes[0].startswith("new schema gs://bucket/mine.pbtxt")
    assert 'value: "c0"' in (bucket / "mine.pbtxt").read_text()
    assert [isinstance(one, BadRecord) for one in whole(found.source)] == [False, False, True]
    assert "images" in found.source.identity()
