"""What a caller can give by mistake: each is told in this library's words, and nothing else changes."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sentence_transformers")

import numpy as np
import tiny

from registry import InvalidInputError, InvalidOptionError, ModelLoadError, UnsafeWeightsError, UnsupportedModelError
from registry.loaders import load


def test_options_that_are_no_load_options_are_refused(made: Callable[..., Path]) -> None:
    with pytest.raises(TypeError, match=r"expected `options` to be LoadOptions, got \{.threads.: 2\}"):
        load(tiny.dense_record(), path=made(tiny.dense), options={"threads": 2})


def test_empty_path_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="`path`: expected a file or a folder, got ''"):
        load(tiny.dense_record(), path="")


@pytest.mark.parametrize(
    ("first", "second", "got"),
    [
        (np.zeros((1, 4), np.uint8), np.zeros((1, 4), np.float32), r"uint8 \(1, 4\) and float32 \(1, 4\)"),
        (np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32), r"float32 \(1, 4\) and float32 \(1, 5\)"),
        (np.zeros((1, 1, 4), np.float32), np.zeros((1, 4), np.float32), r"float32 \(1, 1, 4\) and float32 \(1, 4\)"),
    ],
)
def test_similarity_of_arrays_that_do_not_fit_is_refused(
    first: Any, second: Any, got: str, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    encoder = opened(tiny.dense_record(), path=made(tiny.dense))
    with pytest.raises(InvalidInputError, match=f"expected \\(n, dim\\) and \\(m, dim\\) in one precision, got {got}"):
        encoder.similarity(first, second)


def test_sparse_similarity_of_single_rows_is_refused(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    encoder = opened(tiny.splade_record(), path=made(tiny.splade))
    found = encoder.encode_query(["about"])
    with pytest.raises(InvalidInputError, match="`queries`: expected SparseEmbeddings, got SparseVector"):
        encoder.similarity(found[0], found)
    with pytest.raises(InvalidOptionError, match="`top_k`: expected an integer of at least 1, got -1"):
        encoder.decode(found[0], top_k=-1)
    assert encoder.similarity(found[:1], found).shape == (1, 1)


def test_pickled_weights_beside_other_safetensors_are_refused(copied: Callable[..., Path]) -> None:
    folder = copied(tiny.dense, projection=True)
    weights = next(path for path in folder.rglob("model.safetensors") if path.parent != folder)
    weights.with_name("pytorch_model.bin").write_bytes(b"pickled")
    weights.rename(weights.with_name("notes.safetensors"))
    with pytest.raises(UnsafeWeightsError, match=r"pytorch_model\.bin"):
        load(tiny.dense_record(), path=folder)


def test_late_interaction_that_shall_not_be_normalized_is_refused(made: Callable[..., Path]) -> None:
    with pytest.raises(ModelLoadError, match="normalize: expected True or None, got False"):
        load(tiny.colbert_record(normalize=False), path=made(tiny.native_colbert))


def test_model_whose_documents_are_images_is_refused(made: Callable[..., Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="its documents are images, and encoders read text here"):
        load(tiny.colbert_record(modalities=("text", "image")), path=made(tiny.native_colbert))


def test_encoding_in_workers_leaves_the_threads_of_torch_as_they_were(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    import torch

    def of_a_new_thread() -> int:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found[0]

    before = (torch.get_num_threads(), of_a_new_thread())
    encoder = opened(tiny.dense_record(), path=made(tiny.dense), threads=3, batch_size=8)
    encoder.encode(list(tiny.WORDS[:20]))
    encoder.encode(list(tiny.WORDS[:1]))

    assert (torch.get_num_threads(), of_a_new_thread()) == before


def test_cut_query_is_reported_once_and_not_on_standard_error(
    made: Callable[..., Path], opened: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = opened(tiny.colbert_record(), path=made(tiny.native_colbert))
    with pytest.warns(UserWarning, match="1 of 1 queries are longer"):
        encoder.encode_query([" ".join(tiny.WORDS[:60])])
    assert capfd.readouterr().err == ""


def test_files_that_anybody_may_have_put_there_are_named_by_their_bytes(
    home: Path, made: Callable[..., Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    import shutil

    record = tiny.dense_record(files=())
    ids = set()
    for seed in (0, 7):
        folder = home / "models" / record.id
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made(tiny.dense, seed=seed), folder)
        ids.add(opened(record).space_id)
    assert len(ids) == 2
