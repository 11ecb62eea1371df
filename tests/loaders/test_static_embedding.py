"""Static embeddings (model2vec): a table of token vectors, with no transformer to run."""

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")

import numpy as np
import tiny

from registry.loaders import load


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("static")
    backbone = tiny.bare(folder / "backbone")
    tokenizer = Tokenizer.from_file(str(backbone / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16), Normalize()], device="cpu")
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


def test_static_embeddings_are_those_of_the_library(checkpoint: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [*tiny.WORDS[:5], "", " ".join(tiny.WORDS[:9])]
    expected = SentenceTransformer(str(checkpoint), device="cpu").encode(texts)
    with load(tiny.dense_record(embedding_dim=16, pooling=None), path=checkpoint) as encoder:
        vectors = encoder.encode(texts)

    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_static_embeddings_read_texts_of_any_length(checkpoint: Path) -> None:
    with load(tiny.dense_record(embedding_dim=16, pooling=None, context_length=64), path=checkpoint) as encoder:
        vectors = encoder.encode([f"{tiny.WORDS[0]} " * 5000])

    assert encoder.max_tokens is None
    assert vectors.truncated == ()
    assert vectors.token_counts == (5000,)
