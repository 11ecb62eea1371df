"""llama.cpp behind one small adapter: everything that is known about its Python package stands here."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from registry._extras import require
from registry._home import models_folder
from registry.errors import (
    InsufficientMemoryError,
    InvalidOptionError,
    ModelLoadError,
    ModelNotDownloadedError,
)
from registry.loaders.transformer import cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from registry.chat import GenerationParams, Prompt
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.loaders.transformer import Task
    from registry.records import ChatModel, DenseModel

# Architectures of llama.cpp that read text and write none.
_ENCODERS = re.compile(r".*bert.*|t5encoder|gemma-embedding|llama-embed|eurobert")
_GGML_ERROR = 4
_OPENING = threading.Lock()  # llama.cpp has one place for its messages
_LARGEST_SEED = 2**32 - 2  # 2**32 - 1 means "random" to llama.cpp


class LlamaModel:
    """A GGUF model with its context. Not for several threads at once: the library underneath would end the process.

    Attributes:
        context_length: Tokens that the context holds.
        maximum: Tokens that the model was trained for.
        metadata: What the GGUF file says about itself.
    """

    def __init__(self, record: ChatModel, located: Located, options: LoadOptions) -> None:
        """Open a GGUF file with its context and adapter.

        Raises:
            MissingExtraError: llama-cpp-python is not installed.
            ModelLoadError: The file is no GGUF file, is damaged, or holds another model than the record says.
            InsufficientMemoryError: The context does not fit into memory.
            InvalidOptionError: The options ask for a GPU or a context that is not there.
        """
        library = require("llama_cpp", extra="chat", purpose="Loading GGUF models")
        self._library = library
        self._record = record
        runtime = record.runtime
        wanted = _context(record, options)
        adapter = _adapter(record, options)
        self._llama: Any = _open(
            library,
            record.id,
            located.path,
            n_ctx=wanted,
            n_batch=options.batch_size or runtime.batch_size,
            n_threads=options.threads or runtime.threads or cores(),
            n_threads_batch=options.threads or runtime.threads or cores(),
            n_gpu_layers=_gpu_layers(library, runtime.gpu_layers, options),
            use_mmap=options.use_mmap,
            use_mlock=options.use_mlock,
            **({"lora_path": str(adapter), "lora_scale": float(options.adapter_scale)} if adapter else {}),
        )
        if adapter is not None and not self._llama._lora_adapter:  # a null pointer, which ends the process when used
            self.close()
            raise _unfit_adapter(record.id, adapter, "one that does not fit")
        self.metadata: dict[str, str] = self._llama.metadata
        self.maximum: int = library.llama_model_n_ctx_train(self._llama._model.model)
        try:
            _check_chat(record, located, self.metadata, self._llama.n_embd())
            _check_context(options, self.maximum)
        except Exception:
            self.close()
            raise
        self.context_length = min(wanted, self.maximum)

    @property
    def footprint_bytes(self) -> int:
        """Memory of the weights and, at 16 bits, of the keys and values of the whole context."""
        return weights_bytes(self._library, self._llama) + cache_bytes(
            self._library, self._llama, self.metadata, self._llama.n_ctx()
        )

    @cached_property
    def control_tokens(self) -> dict[str, int]:
        """Texts of the control tokens of the vocabulary, and their ids."""
        library, model = self._library, self._llama._model
        control = library.LLAMA_TOKEN_ATTR_CONTROL
        found = {}
        for token in range(self._llama.n_vocab()):
            if library.llama_vocab_get_attr(model.vocab, token) & control:
                found[model.token_get_text(token)] = token
        found.pop("", None)
        return found

    def bos_text(self) -> str:
        """Give the text of the token at the beginning of a sequence; empty where there is none."""
        return self._text_of(self._llama.token_bos())

    def eos_text(self) -> str:
        """Give the text of the token at the end of an answer; empty where there is none."""
        return self._text_of(self._llama.token_eos())

    def tokenize(self, prompt: Prompt | str) -> list[int]:
        """Give the tokens of a prompt, with the token at its beginning once where the vocabulary wants one.

        Control tokens are recognised in the markup of the template only. Text of a message that looks like one is
        tokenized as text, cut out of its surroundings; all else is tokenized as one string, as other programs do.
        """
        text = prompt if isinstance(prompt, str) else prompt.text
        parts: list[tuple[str, bool]] = [(text, True)]
        if not isinstance(prompt, str):
            parts = _parts(text, [(len(piece.text), piece.markup) for piece in prompt.pieces], self._markers)
        bos = self.bos_text()
        given = bool(bos) and text.startswith(bos) and len(parts[0][0]) >= len(bos) and parts[0][1]
        tokens: list[int] = []
        for index, (part, markup) in enumerate(parts):
            first = index == 0
            encoded = part.encode()
            if first:
                tokens += self._llama.tokenize(encoded, add_bos=not given, special=markup)
            else:
                tokens += self._continued(encoded, special=markup)
        return self._without_eos(tokens)

    def generate(
        self, tokens: Sequence[int], params: GenerationParams, *, seed: int | None, grammar: Any, kept: Sequence[str]
    ) -> Iterator[bytes]:
        """Generate an answer, one piece of text a token; ends at the model's end of generation.

        Args:
            tokens: The prompt.
            params: How to sample.
            seed: Seed of the sampler; `None` for a random one.
            grammar: Grammar that the answer must follow, or `None`.
            kept: Markers whose control tokens are given as text. Other control tokens give no text.

        Yields:
            UTF-8, which may end within a character.
        """
        llama, library = self._llama, self._library
        llama.set_seed(
            int.from_bytes(os.urandom(4), "little") % _LARGEST_SEED if seed is None else seed % _LARGEST_SEED
        )
        shown = "".join(kept)
        vocabulary, control = llama._model.vocab, self.control_tokens
        pieces: dict[int, bytes] = {token: b"" for text, token in control.items() if text not in shown}
        buffer = ctypes.create_string_buffer(256)
        try:
            for token in llama.generate(
                tokens,
                temp=params.temperature,
                top_p=params.top_p,
                top_k=params.top_k,
                min_p=0.0,  # the library's own default would cut the tail that `top_p` is asked to keep
                repeat_penalty=params.repeat_penalty,
                grammar=grammar,
            ):
                if library.llama_vocab_is_eog(vocabulary, token):
                    return
                piece = pieces.get(token)
                if piece is None:
                    size = library.llama_token_to_piece(vocabulary, token, buffer, 256, 0, True)
                    piece = pieces[token] = buffer.raw[:size] if size > 0 else b""
                yield piece
        except (RuntimeError, ValueError):
            llama.reset()  # what is in the context is not known after a failure
            raise

    def grammar(self, schema: str | None) -> Any:
        """Make the grammar of a JSON schema, or with `None` of any JSON object.

        Raises:
            ValueError: The schema cannot be made into a grammar.
        """
        if schema is None:
            return self._library.LlamaGrammar.from_string(self._library.llama_grammar.JSON_GBNF, verbose=False)
        return self._library.LlamaGrammar.from_json_schema(schema, verbose=False)

    def close(self) -> None:
        """Free the memory."""
        if self._llama is not None:
            self._llama.close()
            self._llama = None

    @cached_property
    def _markers(self) -> re.Pattern[str]:
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def _text_of(self, token: int) -> str:
        return self._llama._model.token_get_text(token) if token >= 0 else ""

    def _continued(self, text: bytes, *, special: bool) -> list[int]:
        """Tokenize text that follows other text: some vocabularies put a space before the first word of a text."""
        plain = self._llama.tokenize(b"\n", add_bos=False, special=False)
        with_line = self._llama.tokenize(b"\n" + text, add_bos=False, special=special)
        if with_line[: len(plain)] == plain:
            return cast("list[int]", with_line[len(plain) :])
        return cast("list[int]", self._llama.tokenize(text, add_bos=False, special=special))

    def _without_eos(self, tokens: list[int]) -> list[int]:
        # Some vocabularies end every text; a prompt that is ended asks for nothing more.
        ends = self._llama._model.add_eos_token() and tokens and tokens[-1] == self._llama.token_eos()
        return tokens[:-1] if ends else tokens


class LlamaEmbedder:
    """Dense vectors through llama.cpp, without torch."""

    def __init__(self, record: DenseModel, located: Located, options: LoadOptions) -> None:
        library = require("llama_cpp", extra="chat", purpose="Loading GGUF models")
        self._library = library
        self._record = record
        pooling = {"mean": 1, "cls": 2, "last-token": 3}.get(str(record.pooling), -1)
        header = _open(library, record.id, located.path, vocab_only=True, n_ctx=8)
        architecture = header.metadata.get("general.architecture", "")
        maximum = int(header.metadata.get(f"{architecture}.context_length", 0))
        header.close()
        most = min([length for length in (record.context_length, maximum) if length], default=512)
        if options.context_length is not None and options.context_length > most:
            raise InvalidOptionError("context_length", f"at most {most}", options.context_length)
        self.limit: int | None = options.context_length or most
        self._batch_tokens = max(self.limit, min(options.batch_size or 2048, 65536))
        self._llama: Any = _open(
            library,
            record.id,
            located.path,
            embedding=True,
            pooling_type=pooling,
            # An encoder attends to all tokens of a text at once: they must be in one physical batch.
            n_ctx=self._batch_tokens,
            n_batch=self._batch_tokens,
            n_ubatch=self._batch_tokens,
            n_threads=options.threads or cores(),
            n_threads_batch=options.threads or cores(),
            n_gpu_layers=_gpu_layers(library, -1, options),
            use_mmap=options.use_mmap,
            use_mlock=options.use_mlock,
        )
        found = self._llama.pooling_type()
        if found not in _POOLINGS:
            self.close()
            expected = record.pooling or "mean, cls or last-token"
            raise ModelLoadError(record.id, str(located.path), "pooling", expected, "none that gives one vector a text")
        self.dim: int = self._llama.n_embd()
        self.pooling: str | None = _POOLINGS[found]
        self.normalize = record.normalize is not False
        self.prompts = (record.query_prompt or "", record.document_prompt or "")
        self.similarity = str(record.similarity or "cosine")
        self.footprint_bytes = weights_bytes(library, self._llama)

    def count_tokens(self, texts: Sequence[str], prompt: str = "") -> list[int]:
        """Give the tokens of each text with its prompt and special tokens."""
        return [len(self._tokens(prompt + text)) for text in texts]

    def embed(
        self, texts: Sequence[str], _counts: Sequence[int], prompt: str, _task: Task | None, /
    ) -> NDArray[np.float32]:
        """Give the vectors, (texts, dim). A text without a token, and so without a vector, gives zeros."""
        import numpy as np

        vectors = np.zeros((len(texts), self.dim), np.float32)
        most = min(self._llama.n_batch, self._llama.context_params.n_seq_max)
        batch: list[tuple[int, list[int]]] = []
        filled = 0
        for index, text in enumerate(texts):
            tokens = self._cut(self._tokens(prompt + text))
            if not tokens:
                continue
            if batch and (filled + len(tokens) > self._batch_tokens or len(batch) == most):
                self._decode(batch, vectors)
                batch, filled = [], 0
            batch.append((index, tokens))
            filled += len(tokens)
        if batch:
            self._decode(batch, vectors)
        return vectors

    def close(self) -> None:
        """Free the memory."""
        if self._llama is not None:
            self._llama.close()
            self._llama = None

    def _tokens(self, text: str) -> list[int]:
        return cast("list[int]", self._llama.tokenize(text.encode(), add_bos=True, special=False))

    def _cut(self, tokens: list[int]) -> list[int]:
        """Cut a long text, and keep the token that ends it: a model knows a text by its ends."""
        if self.limit is None or len(tokens) <= self.limit:
            return tokens
        ends = tokens[-1] in (self._llama.token_eos(), self._llama._model.token_sep())
        return tokens[: self.limit - 1] + tokens[-1:] if ends else tokens[: self.limit]

    def _decode(self, batch: list[tuple[int, list[int]]], vectors: NDArray[np.float32]) -> None:
        import numpy as np

        llama = self._llama
        llama._ctx.kv_cache_clear()
        llama._batch.reset()
        for sequence, (_, tokens) in enumerate(batch):
            llama._batch.add_sequence(tokens, sequence, logits_all=True)
        llama._ctx.decode(llama._batch)
        for sequence, (index, _) in enumerate(batch):
            pointer = self._library.llama_get_embeddings_seq(llama._ctx.ctx, sequence)
            vectors[index] = np.ctypeslib.as_array(pointer, shape=(self.dim,))
        llama._batch.reset()


_POOLINGS = {1: "mean", 2: "cls", 3: "lasttoken"}


def weights_bytes(library: Any, llama: Any) -> int:
    """Give the memory of the weights."""
    return int(library.llama_model_size(llama._model.model))


def cache_bytes(library: Any, llama: Any, metadata: dict[str, str], context_length: int) -> int:
    """Give the memory of keys and values at 16 bits: layers x key-value heads x (key + value) x tokens x 2."""
    model = llama._model.model
    architecture = metadata.get("general.architecture", "")
    head = library.llama_model_n_embd(model) // max(1, library.llama_model_n_head(model))
    sizes = (int(metadata.get(f"{architecture}.attention.{part}_length") or head) for part in ("key", "value"))
    return int(
        library.llama_model_n_layer(model) * library.llama_model_n_head_kv(model) * sum(sizes) * context_length * 2
    )


def _open(library: Any, model_id: str, path: Path, **settings: Any) -> Any:
    """Open a GGUF file, and say in this library's words why it cannot be."""
    with _reasons(library) as reasons:
        try:
            return library.Llama(str(path), verbose=False, **settings)
        except MemoryError as error:
            raise InsufficientMemoryError(model_id, "Close other models, or choose a smaller one.") from error
        except (ValueError, RuntimeError, AssertionError) as error:
            raise _why(model_id, path, settings, error, reasons) from error
        except Exception as error:
            if type(error).__module__.startswith("jinja2"):
                expected = "a Jinja template"
                raise ModelLoadError(model_id, str(path), "chat template", expected, f"{error}") from error
            raise


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


def _unfit_adapter(model_id: str, adapter: Path, got: str) -> ModelLoadError:
    remedy = "The adapter was made for another model, or the file is damaged."
    return ModelLoadError(model_id, str(adapter), "adapter", "a LoRA adapter of this model", got, remedy)


@contextmanager
def _reasons(library: Any) -> Iterator[list[str]]:
    """Collect what llama.cpp says about errors, and keep the rest, which it prints even when told to be silent."""
    lines: list[str] = []

    def keep(level: int, text: bytes, data: Any) -> None:  # noqa: ARG001 - llama.cpp gives three
        if level == _GGML_ERROR:
            lines.append(text.decode("utf-8", "replace").strip())

    callback = library.llama_log_callback(keep)  # kept by its name: llama.cpp holds no reference to it
    with _OPENING:
        library.llama_log_set(callback, ctypes.c_void_p(0))
        try:
            yield lines
        finally:
            library.llama_log_set(library._logger.llama_log_callback, ctypes.c_void_p(0))


def _context(record: ChatModel, options: LoadOptions) -> int:
    if options.context_length is None:
        return record.runtime.context_length
    if record.context_length is not None and options.context_length > record.context_length:
        raise InvalidOptionError(
            "context_length", f"at most {record.context_length}, the maximum of `{record.id}`", options.context_length
        )
    return options.context_length


def _check_context(options: LoadOptions, maximum: int) -> None:
    if options.context_length is not None and options.context_length > maximum:
        expected = f"at most {maximum}, what the file was made for"
        raise InvalidOptionError("context_length", expected, options.context_length)


def _gpu_layers(library: Any, stated: int, options: LoadOptions) -> int:
    if library.llama_supports_gpu_offload():
        return stated if options.gpu_layers is None else options.gpu_layers
    if options.gpu_layers:
        raise InvalidOptionError(
            "gpu_layers",
            "0, because llama.cpp was built without a GPU",
            options.gpu_layers,
            'Build it anew with, for CUDA, `CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-cache-dir '
            "--no-binary llama-cpp-python llama-cpp-python`.",
        )
    return 0


def _adapter(record: ChatModel, options: LoadOptions) -> Path | None:
    """Find the LoRA adapter that is asked for: one of the record's by its id, or a file."""
    if options.adapter is None:
        return None
    for adapter in record.adapters:
        if adapter.id == options.adapter:
            folders = [Path(stated)] if (stated := os.environ.get("REGISTRY_ADAPTERS")) else []
            places = [folder / adapter.file.name for folder in (*folders, models_folder())]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                where = tuple(f"{place} (no such file)" for place in places)
                remedy = f"Put the file at `{places[-1]}`, or give its path as `adapter=`."
                raise ModelNotDownloadedError(f"{record.id} with adapter {adapter.id}", where, remedy)
            return found
    path = Path(options.adapter).expanduser()
    if not path.is_file():
        names = ", ".join(adapter.id for adapter in record.adapters) or "none"
        raise InvalidOptionError("adapter", f"a GGUF file, or an adapter of the record ({names})", str(options.adapter))
    return path


def _check_chat(record: ChatModel, located: Located, metadata: dict[str, str], hidden_dim: int) -> None:
    architecture = metadata.get("general.architecture", "")
    if _ENCODERS.fullmatch(architecture):
        raise ModelLoadError(record.id, str(located.path), "architecture", "one that writes text", architecture)
    if record.hidden_dim is not None and record.hidden_dim != hidden_dim:
        remedy = "This is the file of another model, or the record is wrong."
        raise ModelLoadError(record.id, str(located.path), "hidden_dim", record.hidden_dim, hidden_dim, remedy)


def _parts(text: str, pieces: list[tuple[int, bool]], markers: re.Pattern[str]) -> list[tuple[str, bool]]:
    """Cut forged markers out of a prompt: control tokens' texts that are not wholly the template's.

    Args:
        text: The prompt.
        pieces: Length of each stretch of it, and whether it is markup.
        markers: Finds the texts of control tokens.

    Returns:
        Texts in order, and whether control tokens are to be recognised in them.
    """
    markup: list[tuple[int, int]] = []
    place = 0
    for length, is_markup in pieces:
        if is_markup and markup and markup[-1][1] == place:
            markup[-1] = (markup[-1][0], place + length)
        elif is_markup:
            markup.append((place, place + length))
        place += length
    parts: list[tuple[str, bool]] = []
    start = at = 0
    for match in markers.finditer(text):
        while at < len(markup) and markup[at][1] < match.end():
            at += 1
        if at < len(markup) and markup[at][0] <= match.start():
            continue
        parts += (text[start : match.start()], True), (match[0], False)
        start = match.end()
    parts.append((text[start:], True))
    return [part for part in parts if part[0]] or [("", True)]
