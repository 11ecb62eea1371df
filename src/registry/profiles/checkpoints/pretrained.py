"""Opening a checkpoint with transformers or unsloth: safe formats only, no code of others, no network, no gaps."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._extras import require
from registry.errors import (
    InsufficientMemoryError,
    ModelLoadError,
    RegistryError,
    RemoteCodeNotAllowedError,
    UnsafeWeightsError,
)
from registry.hardware.safetensors_header import read_safetensors, stored_bytes
from registry.profiles.checkpoints.unsloth import load_with_unsloth, patch_of, patch_status, report_patch

if TYPE_CHECKING:
    from registry.profiles.checkpoints.placement import Placement

_GENERATES = re.compile(r".*(?:ForCausalLM|ForConditionalGeneration|LMHeadModel)")
_OUT_OF_MEMORY = re.compile("out of memory|not enough memory|allocate memory", re.IGNORECASE)
_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FOUR_BIT_SHARE = 0.2  # of the bytes in float32: half a byte a weight, scales, and embeddings that stay as they are
_LOADING = threading.Lock()  # these libraries set switches of the whole process while they load


class Opened(NamedTuple):
    """A checkpoint in memory.

    Attributes:
        model: The `PreTrainedModel`, ready to generate.
        tokenizer: Its tokenizer.
    """

    model: Any
    tokenizer: Any


class Weights(NamedTuple):
    """The weights of a checkpoint, read from the headers of its files.

    Attributes:
        numbers: How many there are.
        dtype: Type that most are stored in; `other` where that is none to compute in.
        stored_bytes: What they take on the disk.
    """

    numbers: int
    dtype: str
    stored_bytes: int

    def needed_bytes(self, dtype: str, *, four_bit: bool) -> int:
        """Give the memory that they take when they are loaded."""
        if four_bit:
            return int(self.numbers * 4 * _FOUR_BIT_SHARE)
        return self.numbers * _BYTES[dtype] if self.dtype != "other" else self.stored_bytes


def check_checkpoint(model_id: str, folder: Path) -> Weights:
    """Read what a folder holds; nothing is loaded.

    Args:
        model_id: The model, for messages.
        folder: The folder.

    Raises:
        ModelLoadError: It is no model that generates text, or cannot be read.
        UnsafeWeightsError: Its weights are in no safe format.
    """
    _check_architecture(model_id, folder)
    counts: Counter[str] = read_safetensors(model_id, folder)
    if not counts:
        if any(file.suffix in _UNSAFE for file in folder.iterdir()):
            raise UnsafeWeightsError(model_id, str(folder))
        remedy = "The folder is incomplete. Fetch all files."
        raise ModelLoadError(model_id, str(folder), "weights", "`*.safetensors`", "none", remedy)
    kind, _ = counts.most_common(1)[0]
    return Weights(counts.total(), _TYPES.get(kind, "other"), stored_bytes(counts))


def dtype_for(placement: Placement, stored: str) -> str:
    """Give the type to compute in: what was asked for, else the stored one where the device computes it."""
    if placement.dtype != "auto":
        return placement.dtype
    torch: Any = require("torch", extra="transformers", purpose="Loading checkpoints")
    if placement.device.startswith("cuda"):
        if stored != "bfloat16" or torch.cuda.is_bf16_supported(including_emulation=False):
            return stored if stored in _BYTES else "bfloat16"
        return "float16"
    if placement.device == "cpu":
        return "bfloat16" if stored == "bfloat16" and _cpu_computes_bfloat16(torch) else "float32"
    return stored if stored in _BYTES else "float16"


def open_checkpoint(model_id: str, folder: Path, placement: Placement, dtype: str) -> Opened:
    """Load a checkpoint. Reads its files, and never uses the network.

    Writes the line `registry.unsloth.patched` of the log.

    Args:
        model_id: The model, for messages.
        folder: The checkpoint, which `check_checkpoint` has seen.
        placement: Where to, and by whom.
        dtype: Type to compute in.

    Raises:
        MissingExtraError: transformers or torch is not installed.
        ModelLoadError: The files do not make the model that their configuration describes.
        InsufficientMemoryError: There is no room for it.
        RemoteCodeNotAllowedError: It needs code of its repository.
    """
    torch: Any = require("torch", extra="transformers", purpose="Loading checkpoints")
    with _LOADING, loading_errors(model_id, folder), _without_bars():
        if placement.engine == "unsloth":
            opened = _open_with_unsloth(folder, placement, getattr(torch, dtype))
        else:
            opened = _open_with_transformers(model_id, folder, placement, getattr(torch, dtype))
    opened.model.eval()
    wanted = placement.engine == "unsloth"
    patch = patch_of(opened.model) if wanted else patch_status()._replace(reason=placement.engine_reason)
    report_patch(patch, model_id, wanted=wanted)
    return opened


@contextmanager
def memory_errors(model_id: str) -> Iterator[None]:
    """Say in this library's words that memory has run out."""
    try:
        yield
    except RegistryError:
        raise
    except (MemoryError, RuntimeError) as error:  # torch has a class of its own for GPUs only
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        reason = "Close other models, choose a smaller one, or set `max_seq_length` lower."
        raise InsufficientMemoryError(model_id, reason) from error


@contextmanager
def loading_errors(model_id: str, folder: Path) -> Iterator[None]:
    """Put what the libraries say about broken files into this library's words."""
    try:
        with memory_errors(model_id):
            yield
    except RegistryError:
        raise
    except Exception as error:  # damaged files make these libraries raise anything
        if "trust_remote_code" in str(error):
            reason = "A profile never allows that. Choose a model that transformers knows."
            raise RemoteCodeNotAllowedError(model_id, reason) from error
        got = f"{type(error).__name__}: {error}"
        expected = "a model that transformers can open"
        raise ModelLoadError(model_id, str(folder), "files", expected, got) from error


def _check_architecture(model_id: str, folder: Path) -> None:
    """Refuse what generates no text: asked to, transformers would give it an output layer of random numbers."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(model_id, str(file), "config.json", "a JSON object", f"{error}") from error
    stated = config.get("architectures") if isinstance(config, dict) else None
    names = [str(name) for name in stated] if isinstance(stated, list) else []
    if not any(map(_GENERATES.fullmatch, names)):
        expected, got = "one that generates text, such as `LlamaForCausalLM`", ", ".join(names) or "none"
        remedy = "Choose a chat model; an embedding model is served by its record."
        raise ModelLoadError(model_id, str(file), "architectures", expected, got, remedy)


def _open_with_unsloth(folder: Path, placement: Placement, dtype: Any) -> Opened:
    model, processor = load_with_unsloth(
        folder,
        device=placement.device,
        # In 4 bits the stored type says nothing: unsloth takes the best of the GPU.
        dtype=None if placement.load_in_4bit and placement.dtype == "auto" else dtype,
        load_in_4bit=placement.load_in_4bit,
        max_seq_length=placement.max_seq_length,
    )
    return Opened(model, getattr(processor, "tokenizer", processor))  # models that see have a processor


def _open_with_transformers(model_id: str, folder: Path, placement: Placement, dtype: Any) -> Opened:
    library: Any = require("transformers", extra="transformers", purpose="Loading checkpoints")
    safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model, found = library.AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        **safely,
        **(_in_four_bits(library, placement, dtype) if placement.load_in_4bit else {}),
    )
    tokenizer = library.AutoTokenizer.from_pretrained(folder, **safely)
    if missing := sorted(found["missing_keys"]):
        remedy = "Those would be random numbers. The files are incomplete, or of another model."
        got = f"none for {_some(missing)}"
        raise ModelLoadError(model_id, str(folder), "weights", "a tensor for each parameter", got, remedy)
    return Opened(model if placement.load_in_4bit else model.to(placement.device), tokenizer)


def _in_four_bits(library: Any, placement: Placement, dtype: Any) -> dict[str, Any]:
    """Give what makes transformers load in 4 bits with bitsandbytes (NF4, Dettmers et al. 2023, "QLoRA")."""
    config = library.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": placement.device}}


@contextmanager
def _without_bars() -> Iterator[None]:
    """Load without a bar for every file, whatever the environment says."""
    logging: Any = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _cpu_computes_bfloat16(torch: Any) -> bool:
    features = torch.cpu.get_capabilities()
    return any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
