"""Vectors of every kind, written to .npy, .npz, .parquet and JSON lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from registry._extras import require
from registry.records import DenseModel

if TYPE_CHECKING:
    from registry.records import ModelInfo


def check_output(path: Path | None, model: ModelInfo, *, force: bool) -> None:
    """Refuse a file that could not be written, before a model is loaded for it.

    Raises:
        BadParameter: The ending is not known, not for vectors of this model, or the file is there already.
    """
    if path is None:
        return
    if path.suffix not in _WRITERS:
        raise typer.BadParameter(f"expected a file that ends in {', '.join(_WRITERS)}, got `{path}`", param_hint="-o")
    if path.suffix == ".npy" and not isinstance(model, DenseModel):
        reason = (
            f"`{model.id}` does not give one vector of one size a text, as a .npy has. Write a .npz, .parquet or .jsonl"
        )
        raise typer.BadParameter(reason, param_hint="-o")
    if path.exists() and not force:
        raise typer.BadParameter(f"`{path}` is there already; `--force` overwrites it", param_hint="-o")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder `{path.parent}`", param_hint="-o")
    if path.suffix == ".parquet":
        require("pyarrow", extra="parquet", purpose="Writing .parquet files")


def write_vectors(path: Path | None, texts: list[str], vectors: Any) -> None:
    """Write vectors; a file is there as a whole or not at all.

    Args:
        path: The file; its ending says how. `None`: JSON lines on standard output.
        texts: The texts, which .parquet and JSON lines hold too.
        vectors: `Embeddings`, `TokenEmbeddings` or `SparseEmbeddings`.
    """
    if path is None:
        sys.stdout.writelines(_lines(texts, vectors))
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        _WRITERS[path.suffix](draft, texts, vectors)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def documents_of(texts: list[str], vectors: Any) -> Iterator[dict[str, Any]]:
    """Give text and vector of each text as JSON can hold them."""
    for text, vector in zip(texts, vectors, strict=True):
        if hasattr(vectors, "csr"):
            yield {"text": text, "indices": vector.indices.tolist(), "weights": vector.weights.tolist()}
        else:
            yield {"text": text, "embedding": vector.tolist()}


def _lines(texts: list[str], vectors: Any) -> Iterator[str]:
    return (json.dumps(document, ensure_ascii=False) + "\n" for document in documents_of(texts, vectors))


def _write_jsonl(path: Path, texts: list[str], vectors: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_lines(texts, vectors))


def _write_npy(path: Path, texts: list[str], vectors: Any) -> None:  # noqa: ARG001 - an array holds no texts
    import numpy as np

    np.save(path, np.asarray(vectors), allow_pickle=False)


def _write_npz(path: Path, texts: list[str], vectors: Any) -> None:  # noqa: ARG001 - as above
    import numpy as np

    np.savez(path, allow_pickle=False, **_arrays(vectors), space_id=np.array(vectors.space_id))


def _arrays(vectors: Any) -> Mapping[str, Any]:
    """Give the arrays of a .npz, named as docs/retrieval.md names them."""
    import numpy as np

    if hasattr(vectors, "csr"):
        csr = vectors.csr
        return {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr, "shape": np.array(csr.shape)}
    if hasattr(vectors, "tokens"):
        return {"tokens": vectors.tokens, "lengths": np.array(vectors.lengths)}
    return {"vectors": np.asarray(vectors)}


def _write_parquet(path: Path, texts: list[str], vectors: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": pa.array(texts, pa.string()), **_columns(vectors)})
    pq.write_table(table.replace_schema_metadata({"space_id": vectors.space_id}), path)


def _columns(vectors: Any) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa

    def lists(values: Any, lengths: Iterable[int]) -> Any:
        ends = np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)])
        return pa.LargeListArray.from_arrays(pa.array(ends), values)

    if hasattr(vectors, "csr"):
        csr = vectors.csr
        lengths = np.diff(csr.indptr)
        return {"indices": lists(pa.array(csr.indices), lengths), "weights": lists(pa.array(csr.data), lengths)}
    tokens = vectors.tokens if hasattr(vectors, "tokens") else np.asarray(vectors)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(tokens.reshape(-1)), tokens.shape[1])
    return {"embedding": lists(rows, vectors.lengths) if hasattr(vectors, "tokens") else rows}


_WRITERS: dict[str, Callable[[Path, list[str], Any], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
