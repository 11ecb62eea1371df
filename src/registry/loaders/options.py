"""What a caller may say about loading, and which of it means something to which kind of model."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from registry.errors import InvalidOptionError, UnsupportedDimensionError

if TYPE_CHECKING:
    from registry.chat import JinjaTemplate, Template
    from registry.records import EmbeddingModel

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16", "auto"]


class LoadKeywords(TypedDict, total=False):
    """The fields of `LoadOptions` as keywords of `load`, for type checkers and editors."""

    context_length: int | None
    threads: int | None
    batch_size: int | None
    gpu_layers: int | None
    use_mmap: bool
    use_mlock: bool
    seed: int | None
    template: str | Template | JinjaTemplate | None
    adapter: str | Path | None
    adapter_scale: float
    device: str | None
    dtype: Dtype
    truncate_dim: int | None
    allow_remote_code: bool
    download: bool
    progress: bool | None


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a model. What is left out is what the record says, and then what the machine has.

    Attributes:
        context_length: Tokens of context to allocate (chat), or to cut longer texts to (encoders). At most the
            model's own maximum. Left out: `record.runtime.context_length` for chat, the record's maximum for encoders.
        threads: CPU threads. Left out: one for each core that this process may use.
        batch_size: Tokens evaluated at once: of a prompt (chat), or of all texts of a batch with their padding
            (encoders).
        gpu_layers: Layers to place on the GPU (GGUF); -1 is all. More than 0 is an error where llama.cpp was built
            without a GPU.
        use_mmap: Map the file instead of reading it (GGUF).
        use_mlock: Keep the model in memory (GGUF). Needs a limit of locked memory that is large enough.
        seed: Seed of the sampler for calls that name none (chat).
        template: Chat template: a name, a `Template`, a `JinjaTemplate`, or `"gguf"` for the one in the file. Left
            out: the record's, then the file's.
        adapter: LoRA adapter to load with the model (chat): the id of one of the record's `adapters`, or a GGUF file.
        adapter_scale: Strength of the adapter; 1 is as trained.
        device: `cpu`, `cuda`, `cuda:1`, `mps` (encoders). Left out: a GPU if there is one.
        dtype: Type to compute in (encoders). `auto` is the fastest that is exact enough on this machine.
        truncate_dim: Size in components to cut embeddings to, one of the record's Matryoshka sizes.
        allow_remote_code: Run Python code from the model's repository. Needs a pinned revision.
        download: Fetch files that are missing, as `registry.hub.ensure` does.
        progress: Draw a progress bar on long work. Left out: when standard error is a terminal.
    """

    context_length: int | None = None
    threads: int | None = None
    batch_size: int | None = None
    gpu_layers: int | None = None
    use_mmap: bool = True
    use_mlock: bool = False
    seed: int | None = None
    template: str | Template | JinjaTemplate | None = None
    adapter: str | Path | None = None
    adapter_scale: float = 1.0
    device: str | None = None
    dtype: Dtype = "float32"
    truncate_dim: int | None = None
    allow_remote_code: bool = False
    download: bool = False
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not (type(value) is int and value >= least):
                raise InvalidOptionError(name, f"an integer of at least {least}", value)
        for name in _SWITCHES:
            if type(value := getattr(self, name)) is not bool and not (name == "progress" and value is None):
                raise InvalidOptionError(name, "True or False", value)
        if self.dtype not in _DTYPES:
            raise InvalidOptionError("dtype", f"one of {', '.join(_DTYPES)}", self.dtype)
        if self.device is not None and (not isinstance(self.device, str) or not self.device):
            raise InvalidOptionError("device", "a name such as cpu or cuda:1", self.device)
        scale = self.adapter_scale
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
            raise InvalidOptionError("adapter_scale", "a finite number", scale)

    def changed(self, changes: LoadKeywords) -> LoadOptions:
        """Give these options with others in place of some.

        Raises:
            TypeError: An option does not exist.
            InvalidOptionError: A value is out of range.
        """
        names = [field.name for field in fields(self)]
        for name in changes:
            if name not in names:
                from difflib import get_close_matches

                close = get_close_matches(name, names, n=1)
                hint = f"Did you mean `{close[0]}`?" if close else f"The options are {', '.join(names)}."
                raise TypeError(f"`{name}` is not an option of `load`. {hint}")
        return replace(self, **changes)

    def refuse_all_but(self, allowed: frozenset[str], model_id: str, kind: str) -> None:
        """Refuse options that were set and mean nothing to this kind of model.

        Raises:
            InvalidOptionError: One was set.
        """
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if value != field.default and field.name not in allowed:
                raise InvalidOptionError(
                    field.name,
                    "to be left out",
                    value,
                    f"It means nothing to `{model_id}`, which is {kind}. Its options are {', '.join(sorted(allowed))}.",
                )


def check_truncation(model: EmbeddingModel, dim: int | None) -> None:
    """Refuse to cut to a size that the model was not trained for.

    Raises:
        UnsupportedDimensionError: The record does not have it.
    """
    sizes = sorted({*model.matryoshka_dims, model.embedding_dim}, reverse=True)
    if dim is not None and dim not in sizes:
        raise UnsupportedDimensionError(model.id, dim, tuple(sizes))


_LEAST = {"context_length": 1, "threads": 1, "batch_size": 1, "gpu_layers": -1, "seed": 0, "truncate_dim": 1}
_SWITCHES = ("use_mmap", "use_mlock", "allow_remote_code", "download", "progress")
_DTYPES = ("float32", "bfloat16", "float16", "auto")

_GGUF = frozenset({"context_length", "threads", "batch_size", "gpu_layers", "use_mmap", "use_mlock", "download"})
CHAT_OPTIONS = _GGUF | {"seed", "template", "adapter", "adapter_scale"}
GGUF_ENCODER_OPTIONS = _GGUF | {"truncate_dim", "progress"}
RERANKER_OPTIONS = frozenset(
    {"context_length", "threads", "batch_size", "device", "dtype", "allow_remote_code", "download", "progress"}
)
SPARSE_OPTIONS = RERANKER_OPTIONS
ENCODER_OPTIONS = RERANKER_OPTIONS | {"truncate_dim"}
