"""Small untrained networks as they ship, with the examples that they answer."""

import dataclasses

import keras
from keras import layers

from components.data import open_dataset, records
from components.export import export
from components.lite import convert, reading_json
from components.shipped import open_shipped
from components.tokens import Reading

TOKENS = 12


def image_net():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 16, 3), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.ReLU()(layers.Conv2D(6, 3, strides=2)(x))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def text_net():
    keras.utils.set_random_seed(4)
    ids = keras.Input((TOKENS,), dtype="int32", name="token_ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(ids))
    return keras.Model(ids, layers.Dense(2)(x))


def write_lite(folder, model, data, method="float32", **settings):
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(convert(model, method, **settings))
    if data.schema.modality == "text":
        lines = Reading.of(model).lines(data.vocabulary)
        (folder / "vocabulary.txt").write_text("\n".join(lines) + "\n", "utf-8")
        rule = reading_json(tokens=TOKENS, truncate="head", pad="right")
        (folder / "reading.json").write_text(rule)


@dataclasses.dataclass
class Case:
    data: object
    model: keras.Model
    folders: dict
    records: list

    def open(self, artifact, **changed):
        schema = dataclasses.replace(self.data.schema, **changed)
        return open_shipped(self.folders[artifact], artifact=artifact, schema=schema)


def case(dataset, model, root):
    data = open_dataset(dataset)
    export(model, data, root / "saved_model")
    write_lite(root / "tflite", model, data)
    folders = {name: root / name for name in ("saved_model", "tflite")}
    return Case(data, model, folders, list(records(data, "test", 0).as_numpy_iterator()))
