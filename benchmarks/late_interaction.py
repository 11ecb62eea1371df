"""MaxSim of one query against 2,000 documents, against sentence-transformers' and against the bare matrix product."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from benchmarks.measure import Line, Table, Target, in_turn, missing, seconds
from benchmarks.workspace import Workspace

if TYPE_CHECKING:
    from registry.loaders.embeddings import TokenEmbeddings

DOCUMENTS, QUERY_TOKENS, DIM = 2000, 32, 128
SHORTEST, LONGEST = 20, 300
REPEATED = 2  # calls in a turn
FASTER = Target(4, "x faster", at_least=True)
OVERHEAD = Target(1.25)
RIVAL = "`sentence_transformers.util.maxsim`"
TITLE = (
    f"MaxSim, 1 query of {QUERY_TOKENS} tokens, {DOCUMENTS} documents of {SHORTEST} to {LONGEST} tokens, "
    f"{DIM} components, CPU"
)


def measure(workspace: Workspace, rounds: int) -> list[Table]:  # noqa: ARG001 - every group is given one
    """Measure what `LateInteractionEncoder.similarity` does, on what an encoder gives and on a list of arrays."""
    if absent := missing("sentence_transformers"):
        return [Table(TITLE, remarks=[absent])]
    import numpy as np
    import torch
    from sentence_transformers.util import maxsim as rival_maxsim

    from registry.loaders.embeddings import stack
    from registry.loaders.maxsim import maxsim

    random = Random(0)
    query = _embeddings([QUERY_TOKENS], seed=1)
    documents = _embeddings([random.randint(SHORTEST, LONGEST) for _ in range(DOCUMENTS)], seed=2)
    arrays = [each.copy() for each in documents]  # each in memory of its own
    tensors = [torch.from_numpy(each) for each in arrays]
    query_tensors = [torch.from_numpy(query[0].copy())]

    def ours() -> object:
        return maxsim(query.tokens, query.lengths, documents.tokens, documents.lengths)

    def ours_of_list() -> object:
        return maxsim(query.tokens, query.lengths, stack(arrays), [len(each) for each in arrays])

    def rival() -> object:
        return rival_maxsim(query_tensors, tensors)

    def product() -> object:
        return query.tokens @ documents.tokens.T

    if not np.allclose(np.asarray(ours()), np.asarray(rival()), atol=1e-4):
        raise RuntimeError("expected the same scores of both sides, got others")
    table = Table(TITLE)
    for what, call in (("`TokenEmbeddings`, as an encoder gives them", ours), ("a list of arrays", ours_of_list)):
        first = call is ours
        found = in_turn(_timed(call), _timed(rival), rounds)
        table.lines.append(Line.ratio(what, RIVAL, found, FASTER if first else None, faster=True))
        found = in_turn(_timed(call), _timed(product), rounds)
        table.lines.append(
            Line.ratio(what, "the matrix product alone, in one matrix", found, OVERHEAD if first else None)
        )
    table.remarks.append("The list is put together to one matrix first, in that time; the rival is given such a list.")
    return [table]


def _embeddings(lengths: list[int], *, seed: int) -> TokenEmbeddings:
    """Make vectors of length 1 in any direction."""
    import numpy as np

    from registry.loaders.dense import normalized
    from registry.loaders.embeddings import TokenEmbeddings

    drawn = np.random.default_rng(seed).standard_normal((sum(lengths), DIM), np.float32)
    return TokenEmbeddings(normalized(drawn), lengths, "")


def _timed(call: Callable[[], object]) -> Callable[[int], float]:
    return lambda _: seconds(lambda: [call() for _ in range(REPEATED)]) / REPEATED * 1e9
