"""Opening GGUF files with llama.cpp, and saying in this library's words why one cannot be."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import (
    InsufficientMemoryError,
    InvalidOptionError,
    ModelLoadError,
)
from registry.loaders.grammar import CheckedSampler

if TYPE_CHECKING:
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.records import ChatModel

# Architectures of llama.cpp that read text and write none.
_ENCODERS = re.compile(r".*bert.*|t5encoder|gemma-embedding|llama-embed|eurobert")
_GGML_ERROR = 4
_MOST_THREADS = 512  # GGML_MAX_N_THREADS
_OPENING = threading.Lock()  # llama.cpp has one place for its messages


def open_gguf(library: Any, model_id: str, path: Path, **settings: Any) -> Any:
    """Open a GGUF file.

    Returns:
        A `llama_cpp.Llama` that knows nothing of chat: its `all_metadata` has the templates, and no other attribute.

    Raises:
        ModelLoadError: The file is no GGUF file, is damaged, or llama.cpp does not know such models.
        InsufficientMemoryError: The context does not fit into memory.
    """
    with _reasons(library) as reasons:
        try:
            return _llama(library)(str(path), verbose=False, **settings)
        except MemoryError as error:
            raise InsufficientMemoryError(model_id, "Close other models, or choose a smaller one.") from error
        except (ValueError, RuntimeError, AssertionError) as error:
            raise _why(model_id, path, settings, error, reasons) from error


@lru_cache(maxsize=1)
def _llama(library: Any) -> Any:
    """Give the library's class with two things put right.

    It compiles every chat template of the file while it opens it, whether one is used or not, and fails where one is
    broken. And it ends the process where a grammar allows no token.
    """

    class Llama(library.Llama):  # type: ignore[misc] # a class of a package that is imported when needed
        @property
        def metadata(self) -> dict[str, str]:
            return {key: self.all_metadata[key] for key in self.all_metadata if "chat_template" not in key}

        @metadata.setter
        def metadata(self, found: dict[str, str]) -> None:
            self.all_metadata = found

        def _init_sampler(self, *given: Any, grammar: Any = None, **named: Any) -> Any:
            sampler = super()._init_sampler(*given, grammar=grammar, **named)
            return sampler if grammar is None else CheckedSampler(library, self, sampler)

    return Llama


def _why(
    model_id: str, path: Path, settings: Mapping[str, Any], error: Exception, reasons: list[str]
) -> ModelLoadError | InsufficientMemoryError:
    said = "; ".join(dict.fromkeys(reasons[:3])) or str(error)
    if "llama_context" in str(error) or "failed to allocate" in said:
        tokens = settings.get("n_ctx")
        reason = f"A context of {tokens} tokens could not be made ({said}). Load it with a smaller `context_length`."
        return InsufficientMemoryError(model_id, reason)
    if "LoRA" in str(error):
        return _unfit_adapter(model_id, Path(settings["lora_path"]), said)
    remedy = "The file is cut off or damaged, or llama.cpp is older than the model."
    return ModelLoadError(model_id, str(path), "format", "a GGUF file that llama.cpp can open", said, remedy)


@contextmanager
def _reasons(library: Any) -> Iterator[list[str]]:
    """Collect what llama.cpp says about errors, and keep the rest, which it prints even when told to be silent."""
    callback, lines = _collector(library)
    before, data = library.llama_log_callback(), ctypes.c_void_p()
    with _OPENING:
        lines.clear()
        library.llama_log_get(ctypes.byref(before), ctypes.byref(data))
        library.llama_log_set(callback, ctypes.c_void_p(0))
        try:
            yield lines
        finally:
            library.llama_log_set(before, data)


@lru_cache(maxsize=1)
def _collector(library: Any) -> tuple[Any, list[str]]:
    """Give a callback that collects errors, and what it has collected.

    It is never freed: a thread that closes a model meanwhile may be about to call it, which would end the process.
    """
    lines: list[str] = []

    def keep(level: int, text: bytes, data: Any) -> None:  # noqa: ARG001 - llama.cpp gives three
        if level == _GGML_ERROR:
            lines.append(text.decode("utf-8", "replace").strip())

    return library.llama_log_callback(keep), lines


def weights_bytes(library: Any, llama: Any) -> int:
    """Give the memory of the weights."""
    return int(library.llama_model_size(llama._model.model))


def cache_bytes(library: Any, llama: Any) -> int:
    """Give the memory of keys and values at 16 bits: layers x key-value heads x (key + value) x tokens x 2."""
    model = llama._model.model
    architecture = llama.metadata.get("general.architecture", "")
    head = library.llama_model_n_embd(model) // max(1, library.llama_model_n_head(model))
    sizes = (int(llama.metadata.get(f"{architecture}.attention.{part}_length") or head) for part in ("key", "value"))
    return int(
        library.llama_model_n_layer(model) * library.llama_model_n_head_kv(model) * sum(sizes) * llama.n_ctx() * 2
    )


def threads_for(stated: int) -> int:
    """Give a number of threads that llama.cpp can make."""
    return min(stated, _MOST_THREADS)


def gpu_layers_for(library: Any, stated: int, options: LoadOptions) -> int:
    """Give the layers to place on a GPU: the caller's, else the record's; none where llama.cpp knows no GPU.

    Raises:
        InvalidOptionError: The caller asks for some and llama.cpp was built without a GPU.
    """
    if library.llama_supports_gpu_offload():
        return min(stated if options.gpu_layers is None else options.gpu_layers, 2**31 - 1)
    if options.gpu_layers:
        raise InvalidOptionError(
            "gpu_layers",
            "0, because llama.cpp was built without a GPU",
            options.gpu_layers,
            'Build it anew with, for CUDA, `CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-cache-dir '
            "--no-binary llama-cpp-python llama-cpp-python`.",
        )
    return 0


def context_for(library: Any, record: ChatModel, located: Located, options: LoadOptions) -> int:
    """Give the tokens of context to allocate: the caller's, else the record's.

    Raises:
        InvalidOptionError: The caller asks for more than the model was made for.
        ModelLoadError: The file is no GGUF file, or is damaged.
    """
    wanted = options.context_length
    if wanted is None:
        return record.runtime.context_length
    maximum, whose = record.context_length, f"the maximum of `{record.id}`"
    if maximum is None:  # to ask the file is to read it twice, and to allocate first is to end for want of memory
        header = open_gguf(library, record.id, located.path, vocab_only=True, n_ctx=8)
        architecture = header.metadata.get("general.architecture", "")
        maximum = int(header.metadata.get(f"{architecture}.context_length", wanted))
        whose = "what the file was made for"
        header.close()
    if wanted > maximum:
        raise InvalidOptionError("context_length", f"at most {maximum}, {whose}", wanted)
    return wanted


def check_context(options: LoadOptions, maximum: int) -> None:
    """Refuse a context that is longer than the file was made for.

    Raises:
        InvalidOptionError: It is.
    """
    if options.context_length is not None and options.context_length > maximum:
        expected = f"at most {maximum}, what the file was made for"
        raise InvalidOptionError("context_length", expected, options.context_length)


def check_chat(record: ChatModel, located: Located, metadata: Mapping[str, str], hidden_dim: int) -> None:
    """Refuse a file that is another model than the record says, or writes no text.

    Raises:
        ModelLoadError: It is.
    """
    architecture = metadata.get("general.architecture", "")
    if _ENCODERS.fullmatch(architecture):
        raise ModelLoadError(record.id, str(located.path), "architecture", "one that writes text", architecture)
    if record.hidden_dim is not None and record.hidden_dim != hidden_dim:
        remedy = "This is the file of another model, or the record is wrong."
        raise ModelLoadError(record.id, str(located.path), "hidden_dim", record.hidden_dim, hidden_dim, remedy)


def find_adapter(record: ChatModel, options: LoadOptions) -> Path | None:
    """Find the LoRA adapter that is asked for: one of the record's by its id, or a file.

    Raises:
        ModelNotDownloadedError: The adapter of the record is not on this machine.
        ChecksumMismatchError: The file of this name is not the one that the record pins.
        InvalidOptionError: It is neither.
    """
    if options.adapter is None:
        return None
    for adapter in record.adapters:
        if adapter.id == options.adapter:
            from registry.hub._ensure import obtain

            return obtain(adapter, download=options.download).path
    path = Path(options.adapter).expanduser()
    if not path.is_file():
        names = ", ".join(adapter.id for adapter in record.adapters) or "none"
        raise InvalidOptionError("adapter", f"a GGUF file, or an adapter of the record ({names})", str(options.adapter))
    return path


def check_adapter(record: ChatModel, adapter: Path | None, llama: Any) -> None:
    """Refuse an adapter that llama.cpp has refused: the library goes on with a null pointer, which ends the process.

    Raises:
        ModelLoadError: It has.
    """
    if adapter is not None and not llama._lora_adapter:
        raise _unfit_adapter(record.id, adapter, "one that does not fit")


def _unfit_adapter(model_id: str, adapter: Path, got: str) -> ModelLoadError:
    remedy = "The adapter was made for another model, or the file is damaged."
    return ModelLoadError(model_id, str(adapter), "adapter", "a LoRA adapter of this model", got, remedy)
