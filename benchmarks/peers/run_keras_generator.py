"""Keras' ImageDataGenerator on images handed over as ``.npy``, in batches."""

import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from serve import serve, settings

BATCH = 64


def generators():
    """Return name to the generator that does what our op or policy of that name does."""
    return {
        "flip_horizontal": ImageDataGenerator(horizontal_flip=True),
        "rotate": ImageDataGenerator(rotation_range=15, fill_mode="reflect"),
        "brightness": ImageDataGenerator(brightness_range=(0.8, 1.2)),
        "classic": ImageDataGenerator(
            rotation_range=20,
            width_shift_range=0.2,
            height_shift_range=0.2,
            shear_range=11.31,
            zoom_range=0.2,
            horizontal_flip=True,
            fill_mode="nearest",
        ),
    }


def main():
    """Serve every generator over the images of the settings' file."""
    images = np.load(settings()["images"])

    def over_all(generator):
        def call():
            batches = generator.flow(images, batch_size=BATCH, shuffle=False)
            return sum(len(next(batches)) for _ in range(len(batches)))

        return call

    serve({name: over_all(one) for name, one in generators().items()}, ["keras", "numpy"])


if __name__ == "__main__":
    main()
