"""Models in llama.cpp behind small adapters: prompts to tokens, tokens to text, texts to vectors."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Generator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from registry._extras import require
from registry.chat.partial import pattern_of
from registry.errors import InvalidOptionError, ModelLoadError
from registry.hardware.cpu import usable_cores
from registry.loaders.gguf import (
    cache_bytes,
    check_adapter,
    check_chat,
    check_context,
    context_for,
    find_adapter,
    gpu_layers_for,
    open_gguf,
    threads_for,
    weights_bytes,
)
from registry.loaders.grammar import make_grammar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from registry.chat import GenerationParams, Prompt
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.loaders.transformer import Task
    from registry.records import ChatModel, DenseModel

# What vendors call the tokens between turns. Other tokens defined by users, such as runs of spaces or the tags of HTML,
# are text, and so are the markers of thoughts and tool calls.
_TURN_MARKER = re.compile(r"<[|\uff5c].*[|\uff5c]>|</?s>|<bos>|<eos>|<(start|end)_of_turn>|\[/?(INST|SYSTEM_PROMPT)\]")
_LONGEST_FORGED = 1000
_COLDEST = 1e-6  # to divide by less is to leave the numbers that 32 bits can hold
_LARGEST_SEED = 2**32 - 2  # 2**32 - 1 means "random" to llama.cpp


class LlamaModel:
    """A GGUF model with its context. Not for several threads at once: the library underneath would end the process.

    Attributes:
        context_length: Tokens that the context holds.
        metadata: What the GGUF file says about itself.
        bos_text: Text of the token at the beginning of a sequence; empty where there is none.
        eos_text: Text of the token at the end of an answer; empty where there is none.
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
        runtime = record.runtime
        gpu_layers = gpu_layers_for(library, runtime.gpu_layers, options)
        adapter = find_adapter(record, options)
        wanted = context_for(library, record, located, options)
        threads = threads_for(options.threads or runtime.threads or usable_cores())
        self._llama: Any = open_gguf(
            library,
            record.id,
            located.path,
            n_ctx=wanted,
            n_batch=min(options.batch_size or runtime.batch_size, wanted),
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=gpu_layers,
            use_mmap=options.use_mmap,
            use_mlock=options.use_mlock,
            **({"lora_path": str(adapter), "lora_scale": float(options.adapter_scale)} if adapter else {}),
        )
        try:
            check_adapter(record, adapter, self._llama)
            self.metadata: dict[str, str] = self._llama.all_metadata
            check_chat(record, located, self.metadata, self._llama.n_embd())
            maximum = library.llama_model_n_ctx_train(self._llama._model.model)
            check_context(options, maximum)
        except Exception:
            self.close()
            raise
        self.context_length = min(wanted, maximum)
        self.bos_text = self._text_of(self._llama.token_bos())
        self.eos_text = self._text_of(self._llama.token_eos())

    @property
    def footprint_bytes(self) -> int:
        """Memory of the weights and, at 16 bits, of the keys and values of the whole context."""
        return weights_bytes(self._library, self._llama) + cache_bytes(self._library, self._llama)

    @cached_property
    def control_tokens(self) -> dict[str, int]:
        """Texts of the tokens that no text of a message may become, and their ids."""
        return {text: token for text, (token, _) in self._guarded.items()}

    @cached_property
    def _guarded(self) -> dict[str, tuple[int, bool]]:
        """The same with whether the file calls the token defined by its users, as some do with markers of turns."""
        library, model = self._library, self._llama._model
        attributes, vocabulary = library.llama_vocab_get_attr, model.vocab
        control = library.LLAMA_TOKEN_ATTR_CONTROL | library.LLAMA_TOKEN_ATTR_UNKNOWN
        defined = library.LLAMA_TOKEN_ATTR_USER_DEFINED
        found = {}
        for token in range(self._llama.n_vocab()):
            attribute = attributes(vocabulary, token)
            if attribute & (control | defined):
                text = model.token_get_text(token)
                if attribute & control or _TURN_MARKER.fullmatch(text):
                    found[text] = (token, not attribute & control)
        found.pop("", None)
        return found

    def markers_in(self, text: str) -> set[str]:
        """Give the texts of control tokens that are in a text."""
        return set(self._markers.findall(text))

    def tokenize(self, prompt: Prompt | str) -> list[int]:
        """Give the tokens of a prompt, with the token at its beginning once where the vocabulary wants one.

        Control tokens are recognised in the markup of the template only. Text of a message that looks like one is
        tokenized as text, cut out of its surroundings; all else is tokenized as one string, as other programs do.
        """
        if isinstance(prompt, str):
            parts, printed = [(prompt, True)], self.bos_text
        else:
            pieces, printed = self._with_own_bos(prompt)
            text = "".join(text for text, _ in pieces)
            parts = _parts(text, [(len(text), markup) for text, markup in pieces], self._markers)
        first = parts.pop(0)[0] if parts[0][1] else ""
        tokens = self._encode(first, bos=not (printed and first.startswith(printed)), special=True)
        for part, markup in parts:
            tokens += self._continued(part, special=True) if markup else self._as_text(part)
        # Some vocabularies end every text; a prompt that is ended asks for nothing more.
        ended = self._llama._model.add_eos_token() and tokens and tokens[-1] == self._llama.token_eos()
        return tokens[:-1] if ended else tokens

    def generate(
        self, tokens: Sequence[int], params: GenerationParams, *, seed: int | None, grammar: Any, kept: Sequence[str]
    ) -> Generator[bytes, None, None]:
        """Generate an answer, one piece of text a token; ends at the model's end of generation.

        Args:
            tokens: The prompt.
            params: How to sample.
            seed: Seed of the sampler; `None` for a random one.
            grammar: Grammar that the answer must follow, or `None`.
            kept: Markers whose control tokens are given as text. Other control tokens give no text.

        Yields:
            UTF-8, which may end within a character.

        Raises:
            InvalidOptionError: The grammar allows nothing that the model could say next.
        """
        llama, library = self._llama, self._library
        if seed is None:
            llama.set_seed(int.from_bytes(os.urandom(4), "little") % _LARGEST_SEED)
        else:
            llama.set_seed(seed % _LARGEST_SEED)
            llama.reset()  # to read on from what is in the context gives other last digits than to read all at once
        vocabulary = llama._model.vocab
        pieces: dict[int, bytes] = {
            token: b"" for text, token in self.control_tokens.items() if not any(text in shown for shown in kept)
        }
        sampled = llama.generate(
            tokens,
            temp=params.temperature if params.temperature > _COLDEST else 0.0,
            top_p=params.top_p,
            top_k=min(params.top_k, 2**31 - 1),
            min_p=0.0,  # the library's own default would cut the tail that `top_p` is asked to keep
            repeat_penalty=params.repeat_penalty,
            grammar=grammar,
        )
        try:
            for token in sampled:
                if library.llama_vocab_is_eog(vocabulary, token):
                    return
                piece = pieces.get(token)
                if piece is None:
                    piece = pieces[token] = self._piece(token)
                yield piece
        except GeneratorExit:
            raise
        except BaseException:
            llama.reset()  # what is in the context is not known after a failure
            raise

    def grammar(self, schema: str | None) -> Any:
        """Make the grammar of a JSON schema, or with `None` of any JSON object.

        Raises:
            ValueError: The schema cannot be made into a grammar.
        """
        return make_grammar(self._library, self._llama._model.vocab, schema)

    def close(self) -> None:
        """Free the memory."""
        if self._llama is not None:
            self._llama.close()
            self._llama = None

    @cached_property
    def _markers(self) -> re.Pattern[str]:
        return pattern_of(tuple(self.control_tokens))

    def _text_of(self, token: int) -> str:
        return self._llama._model.token_get_text(token) if token >= 0 else ""

    def _piece(self, token: int, room: int = 64) -> bytes:
        buffer = ctypes.create_string_buffer(room)
        size = self._library.llama_token_to_piece(self._llama._model.vocab, token, buffer, room, 0, True)
        return buffer.raw[:size] if size >= 0 else self._piece(token, -size)

    def _encode(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """Tokenize as the library does, without its buffer of the size of the longest context."""
        import numpy as np

        encoded = text.encode()
        room = len(encoded) + 8
        while True:
            found = np.empty(room, np.int32)
            pointer = found.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
            vocabulary = self._llama._model.vocab
            count = self._library.llama_tokenize(vocabulary, encoded, len(encoded), pointer, room, bos, special)
            if count >= 0:
                return cast("list[int]", found[:count].tolist())
            room = -count

    def _with_own_bos(self, prompt: Prompt) -> tuple[list[tuple[str, bool]], str]:
        """Give the pieces of a prompt, and the token at its beginning that they print.

        A template that was made for other files may print one that this vocabulary has not. It is left out, and the
        vocabulary puts its own.
        """
        pieces: list[tuple[str, bool]] = list(prompt.pieces)
        if not prompt.bos or prompt.bos in self.control_tokens:
            return pieces, prompt.bos or self.bos_text
        return [(pieces[0][0].removeprefix(prompt.bos), True), *pieces[1:]], self.bos_text

    def _as_text(self, forged: str) -> list[int]:
        """Tokenize text in which markers stand that shall stay text."""
        defined = tuple(text for text, (_, by_users) in self._guarded.items() if by_users)
        # llama.cpp always recognises what users defined: so such a marker is cut after its first character.
        cuts = {found.start() + 1 for found in pattern_of(defined).finditer(forged)}
        cuts.update(range(0, len(forged), _LONGEST_FORGED), (len(forged),))  # work grows with the square of the length
        tokens: list[int] = []
        for begin, end in pairwise(sorted(cuts)):
            tokens += self._continued(forged[begin:end], special=False)
        return tokens

    @cached_property
    def _line(self) -> list[int]:
        return self._encode("\n", bos=False, special=False)

    def _continued(self, text: str, *, special: bool) -> list[int]:
        """Tokenize text that follows other text: some vocabularies put a space before the first word of a text."""
        with_line = self._encode(f"\n{text}", bos=False, special=special)
        if with_line[: len(self._line)] == self._line:
            return with_line[len(self._line) :]
        return self._encode(text, bos=False, special=special)


class LlamaEmbedder:
    """Dense vectors through llama.cpp, without torch."""

    def __init__(self, record: DenseModel, located: Located, options: LoadOptions) -> None:
        library = require("llama_cpp", extra="chat", purpose="Loading GGUF models")
        self._library = library
        self._record = record
        pooling = {"mean": 1, "cls": 2, "last-token": 3}.get(str(record.pooling), -1)
        header = open_gguf(library, record.id, located.path, vocab_only=True, n_ctx=8)
        architecture = header.metadata.get("general.architecture", "")
        maximum = int(header.metadata.get(f"{architecture}.context_length", 0))
        header.close()
        most = min([length for length in (record.context_length, maximum) if length], default=512)
        if options.context_length is not None and options.context_length > most:
            raise InvalidOptionError("context_length", f"at most {most}", options.context_length)
        self.limit: int | None = options.context_length or most
        self._batch_tokens = max(self.limit, min(options.batch_size or 2048, 65536))
        self._llama: Any = open_gguf(
            library,
            record.id,
            located.path,
            embedding=True,
            pooling_type=pooling,
            # An encoder attends to all tokens of a text at once: they must be in one physical batch.
            n_ctx=self._batch_tokens,
            n_batch=self._batch_tokens,
            n_ubatch=self._batch_tokens,
            n_threads=threads_for(options.threads or usable_cores()),
            n_threads_batch=threads_for(options.threads or usable_cores()),
            n_gpu_layers=gpu_layers_for(library, -1, options),
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


def _parts(text: str, pieces: list[tuple[int, bool]], markers: re.Pattern[str]) -> list[tuple[str, bool]]:
    """Cut forged markers out of a prompt: control tokens' texts that are not wholly the template's.

    Args:
        text: The prompt.
        pieces: Length of each stretch of it, and whether it is markup.
        markers: Finds the texts of control tokens.

    Returns:
        Texts in order, and whether control tokens are to be recognised in them.
    """
    markup = _stretches(pieces)
    cuts: list[tuple[int, int]] = []
    at = 0
    for match in markers.finditer(text):
        while at < len(markup) and markup[at][1] < match.end():
            at += 1
        genuine = at < len(markup) and markup[at][0] <= match.start()
        if not genuine:
            cuts.append(match.span())
    parts: list[tuple[str, bool]] = []
    start = 0
    for begin, end in _joined(cuts, markup):
        parts += (text[start:begin], True), (text[begin:end], False)
        start = end
    parts.append((text[start:], True))
    return [part for part in parts if part[0]] or [("", True)]


def _stretches(pieces: list[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Give where markup begins and ends; neighbouring pieces of it are one stretch."""
    markup: list[tuple[int, int]] = []
    place = 0
    for length, is_markup in pieces:
        if is_markup and markup and markup[-1][1] == place:
            markup[-1] = (markup[-1][0], place + length)
        elif is_markup and length:
            markup.append((place, place + length))
        place += length
    return markup


def _joined(cuts: list[tuple[int, int]], markup: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join cuts of one message: thousands of forged markers are as much work as one then."""
    joined: list[tuple[int, int]] = []
    at = 0
    for begin, end in cuts:
        if joined:
            while at < len(markup) and markup[at][1] <= joined[-1][1]:
                at += 1
            if at == len(markup) or markup[at][0] >= begin:
                joined[-1] = (joined[-1][0], end)
                continue
        joined.append((begin, end))
    return joined
