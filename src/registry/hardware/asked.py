"""What an estimate is asked for: how a model would be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from registry.errors import InvalidOptionError

CacheType: TypeAlias = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
Dtype: TypeAlias = Literal["float32", "bfloat16", "float16", "auto"]

# Types that llama.cpp can keep keys and values in -> numbers of a block, and bytes of a block. The package `gguf` says
# the same; to import it takes longer than to choose among all records.
CACHE_TYPES = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
EXACT_TYPES = ("f32", "f16", "bf16")
_DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class Asked:
    """The keywords of `estimate`."""

    context_length: int | None
    gpu_layers: int | None
    key_type: str
    value_type: str
    batch_size: int | None
    parallel: int
    flash_attention: bool
    full_window_cache: bool
    fill: int | None
    dtype: str
    use_mmap: bool

    def __post_init__(self) -> None:
        for name, least in (("context_length", 1), ("batch_size", 1), ("parallel", 1), ("fill", 0), ("gpu_layers", -1)):
            value = getattr(self, name)
            if value is not None and not (type(value) is int and least <= value < 2**40):
                raise InvalidOptionError(name, f"a whole number of at least {least}", value)
        for name, value in (("kv_dtype", self.key_type), ("value_dtype", self.value_type)):
            if value not in CACHE_TYPES:
                raise InvalidOptionError(name, f"one of {', '.join(CACHE_TYPES)}", value)
        if self.value_type not in EXACT_TYPES and not self.flash_attention:
            expected = f"one of {', '.join(EXACT_TYPES)} without flash attention"
            remedy = "Estimate with `flash_attention=True`, or with `value_dtype='f16'`."
            raise InvalidOptionError("value_dtype", expected, self.value_type, remedy)
        if self.dtype not in _DTYPES:
            raise InvalidOptionError("dtype", f"one of {', '.join(_DTYPES)}", self.dtype)
