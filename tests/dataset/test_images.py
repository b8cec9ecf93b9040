"""PNG files that every decoder reads alike; damaged ones are refused; digits are scaled exactly."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.dataset.images import decode_image, encode_png, encode_raw
from pipelines.dataset.sources.digits import upscale

SHAPES = st.tuples(
    st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3])
)
BATCHES = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape))


@settings(deadline=None)
@given(BATCHES)
def test_png_comes_back_from_opencv(batch):
    for image, data in zip(batch, encode_png(batch), strict=True):
        assert np.array_equal(decode_image(data, batch.shape[-1]), image)
        read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        read = read[..., None] if read.ndim == 2 else read[..., ::-1]
        assert np.array_equal(read, image)


def test_png_comes_back_from_tensorflow():
    tf = pytest.importorskip("tensorflow")

    @settings(max_examples=60, deadline=None)
    @given(BATCHES)
    def check(batch):
        for image, data in zip(batch, encode_png(batch), strict=True):
            assert np.array_equal(tf.io.decode_png(data).numpy(), image)

    check()


def test_png_does_not_depend_on_memory_layout_or_batch():
    batch = np.random.default_rng(3).integers(0, 256, (4, 9, 7, 3), np.uint8)
    turned = np.asfortranarray(batch)
    assert encode_png(turned) == encode_png(batch)
    assert [encode_png(batch[i : i + 1])[0] for i in range(4)] == encode_png(batch)
    assert encode_png(batch[:0]) == []
    assert encode_raw(turned) == encode_raw(batch) == [image.tobytes() for image in batch]


def test_no_damaged_file_becomes_other_pixels():
    image = np.random.default_rng(1).integers(0, 256, (1, 6, 5, 3), np.uint8)
    data = encode_png(image)[0]
    end = len(data) - 12  # the IEND chunk holds nothing, decoders may ignore its checksum
    for cut in range(end):
        with pytest.raises(ValueError, match="OpenCV"):
            decode_image(data[:cut], 3)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x41
        try:
            assert np.array_equal(decode_image(bytes(changed), 3), image[0])
            assert position >= end
        except ValueError:
            assert position < len(data) - 4


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"plain text" * 20])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ValueError, match="OpenCV"):
        decode_image(data, 3)


def test_images_are_converted_to_the_channels_asked_for():
    grey = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1) * 20
    rgb = decode_image(encode_png(grey)[0], 3)
    assert np.array_equal(rgb, np.repeat(grey[0], 3, axis=2))
    jpeg = cv2.imencode(".jpg", np.full((8, 8, 3), (0, 0, 255), np.uint8))[1].tobytes()
    red = decode_image(jpeg, 3)
    assert red.shape == (8, 8, 3)
    assert red[4, 4, 0] > 240
    assert red[4, 4, 1:].max() < 15


def test_upscaling_by_hand():
    # One row 0, 16 to eight columns: sample positions -3/8, -1/8, 1/8, 3/8, 5/8, 7/8, 9/8, 11/8
    # from the first centre, clamped to the pixels: 255 times these, rounded half up.
    row = [0, 0, 32, 96, 159, 223, 255, 255]
    scaled = upscale(np.array([[[0, 16]]], np.uint8))
    assert scaled.shape == (1, 4, 8, 3)
    for y in range(4):
        for channel in range(3):
            assert scaled[0, y, :, channel].tolist() == row


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.uint8, (1, 3, 2), elements=st.integers(0, 16)))
def test_upscaling_is_exact_bilinear_interpolation(scans):
    def at(y, x):
        return Fraction(int(scans[0, min(max(y, 0), 2), min(max(x, 0), 1)]))

    scaled = upscale(scans)[0, ..., 0]
    for i in range(12):
        for j in range(8):
            y, x = Fraction(2 * i + 1, 8) - Fraction(1, 2), Fraction(2 * j + 1, 8) - Fraction(1, 2)
            top, left = y.__floor__(), x.__floor__()
            dy, dx = y - top, x - left
            value = (1 - dy) * ((1 - dx) * at(top, left) + dx * at(top, left + 1)) + dy * (
                (1 - dx) * at(top + 1, left) + dx * at(top + 1, left + 1)
            )
            assert scaled[i, j] == (value * 255 / 16 + Fraction(1, 2)).__floor__()
