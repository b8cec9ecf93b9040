import io

import numpy as np
import pytest
from PIL import Image

from pipelines.augment.image import compression
from pipelines.augment.policy import parse_policy
from tests.augment.image.apply import changed
from tests.augment.support import images


@pytest.mark.parametrize("shape", [(64, 48, 3), (33, 21, 1)], ids=str)
@pytest.mark.parametrize("quality", [10, 50, 90, 100])
def test_jpeg_agrees_with_pil(shape, quality):
    batch = images(3, shape, smooth=True)
    made = changed("jpeg", batch, quality=quality)
    for image, ours in zip(batch, made, strict=True):
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        theirs = np.asarray(Image.open(file)).reshape(shape).astype(int)
        assert np.abs(ours - theirs).mean() < 0.5


def test_jpeg_loses_more_at_lower_quality_and_keeps_colours_apart():
    batch = images(2, (48, 48, 3), smooth=True)
    batch[:, :, :, 0] = 250  # were red and blue exchanged on the way, this would show
    losses = [
        np.abs(changed("jpeg", batch, quality=quality).astype(int) - batch).mean()
        for quality in (5, 40, 95, compression.LOSSLESS)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[2] < 6
    assert losses[3] == 0


def test_jpeg_codec_is_part_of_the_identity():
    policy = parse_policy({"slots": ["jpeg"]}, "image")
    assert list(policy.resources()) == ["jpeg codec"]
    assert len(policy.resources()["jpeg codec"]) == 64


def test_pixelate_takes_means_of_blocks():
    image = np.array([[10, 20, 31], [40, 50, 60], [7, 8, 9]], dtype=np.uint8)[None, :, :, None]
    made = changed("pixelate", image, block=2)[0, :, :, 0]
    assert made.tolist() == [[30, 30, 46], [30, 30, 46], [8, 8, 9]]
    assert np.array_equal(changed("pixelate", image, block=1), image)
    assert (changed("pixelate", image, block=9) == round(image.mean())).all()


@pytest.mark.parametrize("block", [2, 4, 8])
def test_pixelate_agrees_with_pil(block):
    batch = images(2, (32, 40, 3))
    made = changed("pixelate", batch, block=block)
    for image, ours in zip(batch, made, strict=True):
        small = Image.fromarray(image).resize((40 // block, 32 // block), Image.BOX)
        theirs = np.asarray(small.resize((40, 32), Image.NEAREST)).astype(int)
        assert np.abs(ours - theirs).max() <= 1


def test_each_image_has_its_own_block():
    batch = images(6, (16, 12, 3))
    block = np.array([1, 3, 2, 3, 1, 4])
    made = changed("pixelate", batch, block=block)
    for row, side in enumerate(block):
        alone = changed("pixelate", batch[row : row + 1], block=int(side))
        assert np.array_equal(made[row], alone[0])
