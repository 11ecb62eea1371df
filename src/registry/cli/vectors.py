"""`registry embed`, `registry similarity`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import say
from registry.cli._options import Json, ModelId, Registry, registry_of
from registry.cli._output import Column, show_json, show_table
from registry.errors import UnsupportedModelError
from registry.records import EmbeddingModel, RerankerModel

if TYPE_CHECKING:
    from registry.records import ModelInfo

Field = Annotated[str | None, typer.Option(metavar="NAME", help="Field of each line of a .jsonl, or column of a .csv.")]
ModelPath = Annotated[
    Path | None, typer.Option("--path", metavar="PATH", help="Files to load in place of the kept ones.")
]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[
    str | None, typer.Option(metavar="TYPE", help="Type to compute in: float32, bfloat16, float16, auto.")
]


def embed(
    model: ModelId,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="One text a line; .jsonl and .csv with --field. Left out: stdin."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="A .npy, .npz, .parquet or .jsonl. Left out: JSON lines."),
    ] = None,
    query: Annotated[bool, typer.Option("--query", help="The texts are queries.")] = False,
    document: Annotated[bool, typer.Option("--document", help="The texts are documents, as without this.")] = False,
    field: Field = None,
    truncate_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Size of the vectors, one of the model's Matryoshka sizes.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    path: ModelPath = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Turn texts into vectors.

    A .npy holds an array (texts, dim) and is for dense models; a .npz also the name of the embedding space, and takes
    models of every kind; a .parquet has a row, and a .jsonl a line, with text and vector for each text. Needs the extra
    `embed`, for GGUF files `chat`, for .parquet also `parquet`; the model must be on this machine.

    Examples:
        registry embed all-minilm-l6-v2 documents.txt -o vectors.npy
        registry embed all-minilm-l6-v2 rows.jsonl --field text -o vectors.parquet
        echo "Which organ moves blood?" | registry embed all-minilm-l6-v2 --query
    """
    from registry.cli._texts import read_texts
    from registry.cli._vector_files import check_output, documents_of, write_vectors

    if query and document:
        raise typer.BadParameter("either `--query` or `--document`", param_hint="--query")
    record = _record(model, registry, EmbeddingModel, "gives no vectors. Choose an embedding model.")
    check_output(output, record, force=force)
    texts = read_texts(file, field)
    with _loaded(record, path, truncate_dim=truncate_dim, device=device, dtype=dtype) as encoder, _warnings_as_lines():
        vectors = (encoder.encode_query if query else encoder.encode_document)(texts)
    summary = {"model": record.id, "space_id": vectors.space_id, "texts": len(texts), "truncated": vectors.truncated}
    if output is not None:
        write_vectors(output, texts, vectors)
        if json:
            show_json({**summary, "output": output})
        else:
            say("", f"{output}: {len(texts)} texts, space {vectors.space_id}")
    elif json:
        show_json({**summary, "embeddings": list(documents_of(texts, vectors))})
    else:
        write_vectors(None, texts, vectors)


def similarity(
    model: ModelId,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What the texts are compared with.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to score.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Texts to score, one a line.")
    ] = None,
    field: Field = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", metavar="N", min=1, help="The best so many.")] = None,
    device: Device = None,
    dtype: Dtype = None,
    path: ModelPath = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Score texts against a query, by the model's own measure.

    Cosine, dot product or a negative distance for vectors, MaxSim for late interaction, and what a reranker gives: the
    higher the more alike, best first. Columns: score, position of the text from 0, text. Without texts and without
    --file they are read from standard input.

    Examples:
        registry similarity all-minilm-l6-v2 "A cat." "A kitten." "A train."
        registry similarity colbert-v2 "Which organ?" --file documents.txt -k 3
    """
    from registry.cli._texts import read_texts

    kinds = (EmbeddingModel, RerankerModel)
    record = _record(model, registry, kinds, "compares no texts. Choose an embedding model or a reranker.")
    documents = [*(texts or ()), *(read_texts(file, field) if file is not None or not texts else ())]
    with _loaded(record, path, device=device, dtype=dtype) as loaded, _warnings_as_lines():
        if isinstance(record, RerankerModel):
            scores = loaded.score(query, documents).tolist()
        else:
            scores = _scores(loaded, query, documents)
    best = sorted(enumerate(scores), key=lambda each: -each[1])[:top_k]
    if json:
        found = [{"index": index, "score": score, "text": documents[index]} for index, score in best]
        measure = getattr(record, "similarity", None) or ("maxsim" if getattr(record, "multi_vector", False) else None)
        show_json({"model": record.id, "query": query, "similarity": measure, "scores": found})
    else:
        columns = (Column("Score", right=True), Column("#", right=True), Column("Text", wraps=True))
        show_table(columns, [(f"{score:.4f}", index, documents[index]) for index, score in best])


def _scores(encoder: Any, query: str, documents: list[str]) -> list[float]:
    found = encoder.similarity(encoder.encode_query([query]), encoder.encode_document(documents))
    scores: list[float] = found[0].tolist()
    return scores


def _record(name: str, module: str | None, kinds: Any, otherwise: str) -> Any:
    record: ModelInfo = registry_of(module).lookup_model(name)
    if not isinstance(record, kinds):
        raise UnsupportedModelError(record.id, f"it {otherwise}")
    return record


def _loaded(record: Any, path: Path | None, **options: Any) -> Any:
    from registry.loaders import load

    if sys.stderr.isatty():
        say("", f"Loading {record.name} ...")
    return load(record, path=path, **{name: value for name, value in options.items() if value is not None})


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Say warnings of the library in a line each; those of packages are for programmers."""
    from registry.loaders import TruncationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TruncationWarning)
        warnings.showwarning = lambda message, *_, **__: say("warning", str(message))
        yield
