"""One pass over training examples: from our shards, augmented by us on the fly, or by a peer.

Everything runs in this one process with one TensorFlow thread, and ends in batches for a network.
"""

import keras
import numpy as np
import tensorflow as tf
from serve import serve, settings

from benchmarks.commands import plan_of
from components.data import SHUFFLE_EXAMPLES, open_dataset, training_batches
from pipelines.dataset.slices import read_slice
from pipelines.online import Online

BATCH = 128
FILL = {"fill_mode": "nearest"}


def main():
    """Serve one pass of each kind."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    given = settings()
    plan = plan_of(given["recipe"], given["png"], settings=given["settings"])
    images, labels = _in_memory(plan)
    inputs = keras.Input(images.shape[1:], dtype="uint8")
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    work = {f"{kind} shards": _shards(given[kind], model) for kind in ("png", "raw")}
    work |= {
        "policy on the fly": _online(plan),
        "tf.data and Keras layers": _layers(images, labels),
        "ImageDataGenerator": _generator(images, labels),
    }
    serve(work, ["tensorflow", "keras", "numpy"])


def _in_memory(plan):
    """Return the decoded originals of the training split and their labels."""
    training = [task for task in plan.tasks if ("train", 0) in task.shards]
    slices = [read_slice(plan.job, task).splits["train"] for task in training]
    images = np.concatenate([some.values for some in slices])
    return images, np.concatenate([some.labels for some in slices])


def _count(batches):
    return sum(int(batch[1].shape[0]) for batch in batches)


def _shards(path, model):
    data = open_dataset(path)
    return lambda: _count(training_batches(data, model, copy=1, batch_size=BATCH, seed=1))


def _online(plan):
    online = Online(plan)
    feature = plan.job.schema.feature

    def call():
        rows = online.epoch(1).map(lambda row: (row[feature], row["label"]))
        return _count(_shuffled(rows))

    return call


def _layers(images, labels):
    """The settings of the policy as preprocessing layers, applied to batches as Keras advises."""
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(20 / 360, **FILL),
            keras.layers.RandomTranslation(0.2, 0.2, **FILL),
            keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), **FILL),
            keras.layers.RandomContrast(0.2, value_range=(0, 255)),
        ]
    )
    rows = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = _shuffled(rows).map(lambda some, marks: (layers(some, training=True), marks))
    return lambda: _count(batches.prefetch(2))


def _generator(images, labels):
    """The settings of the policy, without contrast, which the generator has not."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        horizontal_flip=True,
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        zoom_range=0.2,
    )

    def call():
        batches = generator.flow(images, labels, batch_size=BATCH, seed=1)
        return _count(next(batches) for _ in range(len(batches)))

    return call


def _shuffled(rows):
    return rows.shuffle(SHUFFLE_EXAMPLES, seed=1).batch(BATCH).prefetch(2)


if __name__ == "__main__":
    main()
