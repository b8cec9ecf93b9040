"""The CTranslate2 engine with a tiny model of random weights; skipped without its packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.augment.text import engines

WIDTH, INNER, POSITIONS = 16, 32, 512
CORPUS = ["the film was good and the story was bad", "i saw a movie with my friends yesterday"]


def dense(layer, outputs: int, inputs: int, rng: np.random.Generator) -> None:
    layer.weight = rng.normal(0, 0.5, (outputs, inputs)).astype(np.float32)
    layer.bias = np.zeros(outputs, np.float32)


def norm(layer) -> None:
    layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def fill(side, embeddings, positions: np.ndarray, words: np.ndarray, rng) -> None:
    """Give an encoder or a decoder weights."""
    embeddings.weight = words
    side.position_encodings.encodings = positions
    norm(side.layer_norm)
    for layer in side.layer:
        norm(layer.self_attention.layer_norm)
        dense(layer.self_attention.linear[0], 3 * WIDTH, WIDTH, rng)
        dense(layer.self_attention.linear[1], WIDTH, WIDTH, rng)
        if hasattr(layer, "attention"):
            norm(layer.attention.layer_norm)
            dense(layer.attention.linear[0], WIDTH, WIDTH, rng)
            dense(layer.attention.linear[1], 2 * WIDTH, WIDTH, rng)
            dense(layer.attention.linear[2], WIDTH, WIDTH, rng)
        norm(layer.ffn.layer_norm)
        dense(layer.ffn.linear_0, INNER, WIDTH, rng)
        dense(layer.ffn.linear_1, WIDTH, INNER, rng)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of an Argos package."""
    transformer = pytest.importorskip("ctranslate2.specs.transformer_spec")
    pieces = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("argos")
    (folder / "model").mkdir()
    pieces.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20),
        model_prefix=str(folder / "sentencepiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    processor = pieces.SentencePieceProcessor(str(folder / "sentencepiece.model"))
    vocabulary = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    rng = np.random.default_rng(3)
    words = rng.normal(0, 0.5, (len(vocabulary), WIDTH)).astype(np.float32)
    positions = rng.normal(0, 0.5, (POSITIONS, WIDTH)).astype(np.float32)
    spec = transformer.TransformerSpec.from_config((1, 1), 2)
    fill(spec.encoder, spec.encoder.embeddings[0], positions, words, rng)
    fill(spec.decoder, spec.decoder.embeddings, positions, words, rng)
    spec.decoder.projection.weight = words
    spec.decoder.projection.bias = np.zeros(len(vocabulary), np.float32)
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.validate()
    spec.save(str(folder / "model"))
    return folder


def test_sentences_go_there_and_back_independently(model: Path) -> None:
    engine = engines.engine("ctranslate2", str(model), str(model))
    documents = [["the film was good", "i saw"], ["my friends"], ["the story was bad and the film"]]
    together = engine.round_trips(documents)
    assert [len(one) for one in together] == [2, 1, 1]
    assert together == [engine.round_trips([one])[0] for one in documents]
    assert together[0][0] != together[2][0]
    assert len(engine.digest) == 64
