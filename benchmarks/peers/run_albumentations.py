"""Albumentations on images handed over as ``.npy``: one image at a time, as its users call it.

Settings are those of the same name in `benchmarks.image_ops`, as near as its parameters allow.
"""

import albumentations as A
import cv2
import numpy as np
from serve import serve, settings

SIXTEEN_LEVELS = 16 / 255


def transforms(side):
    """Return name to the transforms that do what our op of that name does."""
    border = {"border_mode": cv2.BORDER_REPLICATE, "p": 1}
    keep = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
    padding = round(side / 8)
    inner = round(side * 0.875)

    def jitter(**changed):
        return A.ColorJitter(**(keep | changed), p=1)

    def affine(degrees, shift, shear, zoom):
        return A.Affine(
            rotate=(-degrees, degrees),
            translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
            shear={"x": (-shear, shear), "y": (0, 0)},
            scale={"x": (1 - zoom, 1 + zoom), "y": (1 - zoom, 1 + zoom)},
            **border,
        )

    def hole(share):
        return A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=share,
            hole_width_range=share,
            fill=128,
            p=1,
        )

    noise = A.GaussNoise(std_range=(0, SIXTEEN_LEVELS), mean_range=(0, 0), p=1)
    colour = jitter(
        brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.7, 1.3), hue=(-0.05, 0.05)
    )
    return {
        "flip_horizontal": [A.HorizontalFlip(p=0.5)],
        "rotate": [A.Rotate(limit=(-15, 15), border_mode=cv2.BORDER_REFLECT, p=1)],
        "random_crop": [
            A.Pad(padding=padding, border_mode=cv2.BORDER_CONSTANT, fill=0, p=1),
            A.RandomCrop(side, side, p=1),
        ],
        "random_resized_crop": [
            A.RandomResizedCrop((side, side), scale=(0.25, 1), ratio=(0.75, 1.333), p=1)
        ],
        "centre_crop": [A.CenterCrop(inner, inner, p=1), A.Resize(side, side, p=1)],
        "perspective": [A.Perspective(scale=(0, 0.15), **border)],
        "elastic": [A.ElasticTransform(alpha=side / 4, sigma=side / 8, **border)],
        "blur_box": [A.Blur(blur_limit=(3, 5), p=1)],
        "blur_gaussian": [A.GaussianBlur(blur_limit=0, sigma_limit=(0.05, 1.5), p=1)],
        "blur_median": [A.MedianBlur(blur_limit=(3, 5), p=1)],
        "blur_motion": [A.MotionBlur(blur_limit=(3, 7), p=1)],
        "gaussian_noise": [noise],
        "shot_noise": [A.ShotNoise(scale_range=(1e-4, 4 / 255), p=1)],
        "speckle_noise": [
            A.MultiplicativeNoise((0.65, 1.35), per_channel=True, elementwise=True, p=1)
        ],
        "salt_and_pepper": [A.SaltAndPepper(amount=(0, 0.1), salt_vs_pepper=(0.5, 0.5), p=1)],
        "brightness": [jitter(brightness=(0.8, 1.2))],
        "contrast_mean": [jitter(contrast=(0.6, 1.4))],
        "saturation": [jitter(saturation=(0.7, 1.3))],
        "hue": [jitter(hue=(-0.05, 0.05))],
        "hue, saturation, brightness, contrast": [colour],
        "greyscale": [A.ToGray(p=1)],
        "channel_shuffle": [A.ChannelShuffle(p=1)],
        "invert": [A.InvertImg(p=1)],
        "gamma": [A.RandomGamma((70, 140), p=1)],
        "posterize": [A.Posterize(num_bits=(3, 6), p=1)],
        "solarize": [A.Solarize(threshold_range=(96 / 255, 224 / 255), p=1)],
        "equalize": [A.Equalize(mode="cv", p=1)],
        "autocontrast": [A.AutoContrast(p=1)],
        "sharpness": [A.Sharpen(alpha=(0, 0.9), lightness=(1, 1), p=1)],
        "jpeg": [A.ImageCompression(quality_range=(30, 90), p=1)],
        "pixelate": [A.Downscale(scale_range=(0.25, 0.5), p=1)],
        "cutout": [hole((0.25, 0.5))],
        "random_erasing": [
            A.Erasing(scale=(0.02, 0.33), ratio=(0.303, 3.3), fill="random_uniform", p=1)
        ],
        "grid_mask": [A.GridDropout(ratio=0.5, random_offset=True, fill=128, p=1)],
        "classic": [A.HorizontalFlip(p=0.5), affine(20, 0.2, 11.31, 0.2)],
        "4 ops": [
            A.HorizontalFlip(p=0.5),
            affine(15, 0.1, 0, 0.1),
            colour,
            noise,
            hole((0.25, 0.5)),
        ],
    }


def main():
    """Serve every transform over the images of the settings' file."""
    cv2.setNumThreads(1)
    images = list(np.load(settings()["images"]))

    def over_all(steps):
        composed = A.Compose(steps, seed=1)

        def call():
            return len([composed(image=image)["image"] for image in images])

        return call

    work = {name: over_all(steps) for name, steps in transforms(images[0].shape[0]).items()}
    serve(work, ["albumentations", "opencv-python-headless", "numpy"])


if __name__ == "__main__":
    main()
