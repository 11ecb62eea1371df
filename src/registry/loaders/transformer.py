"""A model of sentence-transformers behind every encoder: opened, checked, and run in batches of tokens."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from registry._extras import require
from registry.errors import (
    InsufficientMemoryError,
    InvalidOptionError,
    ModelLoadError,
    RemoteCodeNotAllowedError,
    UnsafeWeightsError,
)
from registry.hardware.cpu import usable_cores
from registry.loaders.remote_code import unproven_code
from registry.loaders.texts import batches

if TYPE_CHECKING:
    from pathlib import Path

    from registry.loaders.layout import Layout
    from registry.loaders.options import LoadOptions
    from registry.records import EncoderModel

Task: TypeAlias = Literal["query", "document"]

# Tokens of one batch. On a CPU small batches stay in its caches, a GPU wants to be filled.
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 32768

# Says that queries were cut, which is reported here, and also of queries that just fill the width.
_CUT_QUERIES = "sentence_transformers.base.modules.transformer"

_LOADING = threading.Lock()


class Transformer:
    """A loaded model of sentence-transformers.

    Attributes:
        model: The `SentenceTransformer`, `MultiVectorEncoder`, `SparseEncoder` or `CrossEncoder`.
        device: Where it computes.
        threads: CPU threads.
    """

    def __init__(self, class_name: str, record: EncoderModel, path: Path, options: LoadOptions) -> None:
        """Open a folder with the class of sentence-transformers that its layout asks for.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelLoadError: The files cannot be read, or lack weights or the tokenizer.
            InsufficientMemoryError: They do not fit into memory.
            InvalidOptionError: The device is not there.
            RemoteCodeNotAllowedError: Code may be run, and nobody vouches for what lies there.
        """
        if options.allow_remote_code:
            _check_code(record, path)
        library = require("sentence_transformers", extra="embed", purpose="Loading encoders")
        import torch

        self._torch = torch
        self._record_id = record.id
        self.device = _device(torch, options.device)
        self.threads = options.threads or usable_cores()
        self.batch_tokens = options.batch_size or (
            _CPU_BATCH_TOKENS if self.device.startswith("cpu") else _GPU_BATCH_TOKENS
        )
        self._progress = options.progress
        self.dtype = _best_dtype(torch, self.device) if options.dtype == "auto" else options.dtype
        dtype = getattr(torch, self.dtype)
        with _LOADING, _quiet_and_offline(), _report() as report, _loading_errors(record, path, report):
            self.model: Any = getattr(library, class_name)(
                str(path),
                device=self.device,
                local_files_only=True,
                trust_remote_code=options.allow_remote_code,
                # Left out, the weights would keep the type they are stored in, which is half precision for many.
                model_kwargs={"dtype": dtype, "use_safetensors": True},
            )
        _check_complete(record, path, self.model, report, pooler_is_read=class_name == "CrossEncoder")
        self.model.eval()
        if dtype is not torch.float32:
            # What comes after the backbone sums over tokens and scales: half precision would lose digits there.
            self.model[0].register_forward_hook(lambda _module, _given, features: self._as_float32(features))

    @property
    def footprint_bytes(self) -> int:
        """Memory of the weights in bytes."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def count_tokens(self, texts: Sequence[str] | Sequence[tuple[str, str]], prompt: str = "") -> list[int]:
        """Give the number of tokens of each text with its prompt and special tokens, whatever the model's limit."""
        if not texts:
            return []
        given = [prompt + text if isinstance(text, str) else text for text in texts]
        tokenizer = self.model.tokenizer
        if not callable(tokenizer):  # that of static embeddings, which puts nothing round a text
            return [len(each.ids) for each in tokenizer.encode_batch(given, add_special_tokens=False)]
        encoded: Any = tokenizer(given, add_special_tokens=True, truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def measure(self) -> int:
        """Give the components of a vector, by making one."""
        found: list[int] = []
        self.run(["a"], [1], lambda features, _: found.append(features["sentence_embedding"].shape[-1]))
        return found[0]

    def run(
        self,
        inputs: Sequence[Any],
        lengths: Sequence[int],
        finish: Callable[[dict[str, Any], list[int]], None],
        **preprocessing: Any,
    ) -> None:
        """Run inputs through the model in batches of tokens.

        Args:
            inputs: Texts, or pairs of texts.
            lengths: Tokens of each as the model reads it, after cutting.
            finish: Called with the features of a batch and the positions of its inputs, from several threads.
            preprocessing: What the model is told about them: `prompt`, `task`.
        """
        work = list(batches(lengths, self.batch_tokens))
        task = {"task": preprocessing["task"]} if preprocessing.get("task") else {}
        tokenizing = threading.Lock()  # tokenizers keep their padding in one place for all threads
        workers = min(self.threads, len(work)) if self.device.startswith("cpu") else 1

        def one(batch: list[int]) -> None:
            with tokenizing:
                features = self.model.preprocess([inputs[index] for index in batch], **preprocessing)
            features = {
                name: value.to(self.device) if isinstance(value, self._torch.Tensor) else value
                for name, value in features.items()
            }
            with self._torch.inference_mode():
                finish(self.model(features, **task), batch)

        with self._bar(len(work)) as bar, _without_log(_CUT_QUERIES):
            if workers < 2:
                with self._threads():
                    for batch in work:
                        one(batch)
                        bar.update()
            else:
                # A worker for each core with one thread of its own beats one batch on all cores: between the
                # operations of a batch no core waits for another.
                share = (max(1, self.threads // workers),)
                pool = ThreadPoolExecutor(workers, "encode", self._torch.set_num_threads, share)
                with self._threads(), pool:
                    for _ in pool.map(one, work):
                        bar.update()

    def close(self) -> None:
        """Free the memory of the model."""
        # Modules refer to each other in circles. Emptied, they need not wait for the collector, which is slow here.
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            tensor.data = tensor.data.new_empty(0)
        self.model = None
        if self.device.startswith("cuda"):
            self._torch.cuda.empty_cache()

    def _as_float32(self, features: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value.float() if isinstance(value, self._torch.Tensor) and value.is_floating_point() else value
            for name, value in features.items()
        }

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Compute with this model's number of threads, and leave torch's as it was.

        What a thread sets, threads that come later begin with: so it is put back after workers have set theirs, too.
        """
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)

    def _bar(self, total: int) -> Any:
        if not (sys.stderr.isatty() if self._progress is None else self._progress):
            return _NoBar()
        from tqdm import tqdm

        # Short work ends before the delay.
        return tqdm(total=total, desc=self._record_id, unit="batch", delay=0 if self._progress else 2)


class _NoBar(AbstractContextManager["_NoBar"]):
    """A progress bar that is not shown: tqdm would keep a thread for it."""

    def update(self) -> None:
        """Take a step that nobody sees."""

    def __exit__(self, *error: object) -> None:
        """End."""


def check_files(record: EncoderModel, layout: Layout, options: LoadOptions) -> None:
    """Refuse weights that could run code, and code that is not allowed.

    Raises:
        UnsafeWeightsError: A part of the model has no weights in a safe format.
        RemoteCodeNotAllowedError: The model needs code from its repository, and that is not allowed or not pinned.
    """
    whole = {file.parent for file in layout.weights if file.name == "model.safetensors"}
    for file in layout.unsafe:  # the library takes it where there is neither the safe file nor an index of its parts
        if file.parent not in whole and not (file.parent / "model.safetensors.index.json").is_file():
            raise UnsafeWeightsError(record.id, str(file))
    needs_code = record.requires_remote_code or layout.remote_code is not None
    if needs_code and not options.allow_remote_code:
        seen = f" ({layout.remote_code})" if layout.remote_code else ""
        raise RemoteCodeNotAllowedError(
            record.id, f"It is refused{seen}. Read the code, then load with `allow_remote_code=True`."
        )
    if options.allow_remote_code and record.revision is None:
        raise RemoteCodeNotAllowedError(
            record.id, "It is refused: the record pins no revision, so the code could be any. Add `revision` to it."
        )


def _check_code(record: EncoderModel, folder: Path) -> None:
    """Refuse code that came beside proven weights, by hand or in a bundle, and is nobody's that is known.

    Raises:
        RemoteCodeNotAllowedError: There is some.
    """
    if unproven := unproven_code(record, folder):
        raise RemoteCodeNotAllowedError(
            record.id,
            f"It is refused: neither the record nor the hub vouches for {_some(unproven)} in `{folder}`. Fetch the "
            f"model anew with `registry download {record.id} --force`, or `registry.hub.ensure(..., force=True)`; "
            "or, if you trust the code, give a copy of the folder as `path=`.",
        )


def _device(torch: Any, stated: str | None) -> str:
    if stated is None:
        return _best_device(torch)
    try:
        torch.empty(0, device=stated)
    except (RuntimeError, AssertionError) as error:  # an assertion is how torch says that it was built without CUDA
        reason = str(error).splitlines()[0].partition(". ")[0].rstrip(".")
        raise InvalidOptionError("device", "one that torch can use on this machine", stated, f"{reason}.") from error
    return stated


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _best_dtype(torch: Any, device: str) -> str:
    """Give bfloat16 where it is computed in hardware, and so faster than float32, and float32 elsewhere."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device == "cpu" and _cpu_computes_bfloat16(torch) else "float32"


def _cpu_computes_bfloat16(torch: Any) -> bool:
    features = torch.cpu.get_capabilities()
    return any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Load without progress bars and without the network, whatever the environment says."""
    from huggingface_hub import constants
    from transformers.utils import logging

    offline, bars, verbosity = constants.HF_HUB_OFFLINE, logging.is_progress_bar_enabled(), logging.get_verbosity()
    constants.HF_HUB_OFFLINE = True
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it reports about missing weights is checked before, and is an error here
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _without_log(name: str) -> Iterator[None]:
    """Keep a logger quiet about what is reported here."""
    logger, silence = logging.getLogger(name), lambda _record: False
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)


class _Report(logging.Filter):
    """Reads what transformers says about tensors that do not fit the model, and keeps it from being printed.

    Attributes:
        tensors: Names, by `MISSING` (given random numbers) and `MISMATCH` (of another size).
    """

    _ROW = re.compile(r"^(\S[^|\n]*?) *\| *(?:\x1b\[\d+m)?(MISSING|MISMATCH)", re.MULTILINE)

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, list[str]] = {"MISSING": [], "MISMATCH": []}

    def filter(self, record: logging.LogRecord) -> bool:
        for name, status in self._ROW.findall(record.getMessage()):
            self.tensors[status].append(name)
        return record.levelno > logging.WARNING


@contextmanager
def _report() -> Iterator[_Report]:
    """Collect what transformers says about the tensors of the models that it loads."""
    logger, report = logging.getLogger("transformers.modeling_utils"), _Report()
    level = logger.level
    logger.addFilter(report)
    logger.setLevel(logging.WARNING)
    try:
        yield report
    finally:
        logger.setLevel(level)
        logger.removeFilter(report)


def _check_complete(record: EncoderModel, path: Path, model: Any, report: _Report, *, pooler_is_read: bool) -> None:
    """Refuse weights with gaps and tokenizers without a vocabulary: what such a model gives means nothing."""
    # Embeddings are made of the states below BERT's pooler, which many checkpoints therefore lack.
    gaps = [name for name in report.tensors["MISSING"] if pooler_is_read or "pooler" not in name]
    if gaps:
        remedy = "Those would be random numbers. The files are incomplete, or of another model."
        raise ModelLoadError(
            record.id, str(path), "weights", "a tensor for each parameter", f"none for {_some(gaps)}", remedy
        )
    wanted = getattr(getattr(model[0], "config", None), "vocab_size", None)
    if isinstance(wanted, int) and 2 * len(model.tokenizer) < wanted:  # without its files one of 5 entries is made
        got, remedy = f"{len(model.tokenizer)}", "A file of the tokenizer is missing. Fetch all files again."
        raise ModelLoadError(record.id, str(path), "tokenizer", f"about {wanted} entries", got, remedy)


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


@contextmanager
def _loading_errors(record: EncoderModel, path: Path, report: _Report) -> Iterator[None]:
    """Put what the library says about broken files into this library's words."""
    try:
        yield
    except MemoryError as error:
        raise InsufficientMemoryError(record.id, "Close other models, or choose a smaller one.") from error
    except Exception as error:  # damaged files make these libraries raise anything; tokenizers has no class of its own
        if "trust_remote_code" in str(error):
            raise RemoteCodeNotAllowedError(
                record.id, "It is refused. Read the code, then load with `allow_remote_code=True`."
            ) from error
        if "memory" in str(error) and isinstance(error, RuntimeError):  # torch has a MemoryError for GPUs only
            raise InsufficientMemoryError(record.id, "Close other models, or choose a smaller one.") from error
        if misfits := report.tensors["MISMATCH"]:
            got = f"others for {_some(misfits)}"
            raise ModelLoadError(record.id, str(path), "weights", "tensors of the sizes in config.json", got) from error
        raise ModelLoadError(
            record.id,
            str(path),
            "files",
            "a model that sentence-transformers can open",
            f"{type(error).__name__}: {error}",
        ) from error
