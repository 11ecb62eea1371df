"""Chat models: a conversation in, an answer out, whole or as it is made."""

from __future__ import annotations

import codecs
import json
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import closing, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Unpack, cast
from weakref import WeakSet

from registry.chat import (
    GenerationParams,
    JinjaTemplate,
    OutputParser,
    Piece,
    Prompt,
    Template,
    apply_overrides,
    compose,
    get_template,
)
from registry.errors import ContextOverflowError, InvalidInputError, InvalidOptionError, ModelLoadError, TemplateError
from registry.loaders.completion import (
    Answer,
    AnswerDelta,
    ChatCompletion,
    ChatCompletionChunk,
    CompleteKeywords,
    Completion,
    CompletionChunk,
    ReplyKeywords,
    Stream,
)
from registry.loaders.handle import Handle
from registry.loaders.layout import inspect
from registry.loaders.llama import LlamaModel
from registry.loaders.texts import check_text
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions

T = TypeVar("T")

# Markers that models put round tool calls; where they are control tokens, their text must not be lost.
_MOST_GRAMMARS = 32  # kept for schemas that are used again
_CALL_MARKERS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|tool_call|>", "<|/tool_call|>", "<|python_tag|>")


@dataclass(frozen=True)
class _Request:
    """What is needed to make one answer; checked, so that making it cannot fail for the caller's fault."""

    tokens: list[int]
    params: GenerationParams
    parser: OutputParser
    seed: int | None
    grammar: Any
    kept: tuple[str, ...]
    answer: Answer


class Chat(Handle[ChatModel]):
    """A loaded chat model.

    Messages and answers have the shape of OpenAI's API. Calls from several threads queue.

    Attributes:
        context_length: Tokens that the loaded context holds: prompt and answer together.
    """

    def __init__(self, model: ChatModel, located: Located, options: LoadOptions) -> None:
        super().__init__(model, located)
        layout = inspect(located.path, model.id)
        if layout.kind != "gguf":
            raise ModelLoadError(model.id, str(located.path), "layout", "a GGUF file", layout)
        self._options = options
        self._grammars: dict[str | None, Any] = {}
        self._streams: WeakSet[Stream[Any]] = WeakSet()
        if options.template not in (None, "gguf"):
            _ = self.template  # a misspelt name shall not wait for the first message
        self._llama = LlamaModel(model, located, options)
        try:
            if options.template == "gguf":
                _ = self.template
            self.context_length = self._llama.context_length
            self.footprint_bytes = self._llama.footprint_bytes
        except BaseException:
            self._llama.close()
            raise

    @cached_property
    def template(self) -> Template | JinjaTemplate:
        """The chat template: the caller's, else the record's, else the one in the file.

        Raises:
            TemplateError: There is none, or the one in the file is broken.
        """
        wanted = self.model.template if self._options.template is None else self._options.template
        if isinstance(wanted, Template | JinjaTemplate):
            return wanted
        if wanted is not None and wanted != "gguf":
            return get_template(str(wanted))
        source = self._llama.metadata.get("tokenizer.chat_template")
        if source is None:
            silent = "" if wanted else f"the record `{self.model.id}` names no template, and "
            raise TemplateError("gguf", f"{silent}the file has none. Load it with `template=`, or use `complete`.")
        return JinjaTemplate(source, bos_token=self._llama.bos_text, eos_token=self._llama.eos_text)

    def reply(self, messages: Messages, **options: Unpack[ReplyKeywords]) -> ChatCompletion:
        """Answer a conversation.

        Args:
            messages: The conversation, in OpenAI's shape: `[{"role": "user", "content": "..."}]`.
            options: How to answer, see `ReplyKeywords`.

        Returns:
            The answer in OpenAI's shape: `["choices"][0]["message"]["content"]`. What the model thought on the way is
            apart from it, in `reasoning_content`.

        Raises:
            InvalidMessageError: The conversation is not one that a chat model can be given.
            InvalidOptionError: An option has a value that it cannot have.
            TemplateError: The template has no way to write what was asked of it.
            ContextOverflowError: The prompt does not fit into the context.
            ModelClosedError: The model is closed.
        """
        return self._reply(self._request(messages, options), threading.Event())

    def stream(self, messages: Messages, **options: Unpack[ReplyKeywords]) -> Stream[ChatCompletionChunk]:
        """Answer a conversation piece by piece. Otherwise as `reply`, errors of the caller at once.

        With tools, what may be a call is held back until the end.

        Returns:
            Chunks in OpenAI's shape. The first has the role, the last the finish reason and the usage. Close it, or
            leave a `with` block of it, to stop early.
        """
        cancelled = threading.Event()
        stream = Stream(self._chunks(self._request(messages, options), cancelled), cancelled)
        self._streams.add(stream)
        return stream

    async def areply(self, messages: Messages, **options: Unpack[ReplyKeywords]) -> ChatCompletion:
        """Answer a conversation without blocking the event loop. A cancelled task frees the model. As `reply`."""
        import asyncio  # here and below: as long in coming as a small model is in loading

        self._refuse_own_turn()
        cancelled = threading.Event()
        try:
            return await asyncio.to_thread(lambda: self._reply(self._request(messages, options), cancelled))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def astream(
        self, messages: Messages, **options: Unpack[ReplyKeywords]
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        """Answer a conversation piece by piece without blocking the event loop. As `stream`; `aclose()` stops it."""
        import asyncio

        self._refuse_own_turn()
        cancelled = threading.Event()
        request = await asyncio.to_thread(self._request, messages, options)
        async for chunk in _in_thread(lambda: self._chunks(request, cancelled), cancelled):
            yield chunk

    def complete(self, prompt: str, **options: Unpack[CompleteKeywords]) -> Completion:
        """Continue a text as it stands: no template, no clean-up, and control tokens in it are control tokens.

        Args:
            prompt: The text. The token at the beginning of a sequence is put in front where the model wants one.
            options: How to go on, see `CompleteKeywords`.

        Raises:
            InvalidInputError: The text is empty, or has half of a surrogate pair.
            InvalidOptionError: An option has a value that it cannot have.
            ContextOverflowError: The text does not fit into the context.
            ModelClosedError: The model is closed.
        """
        request = self._text_request(prompt, options, "complete")
        text = "".join(text for _, text in self._deltas(request, threading.Event(), strip=False))
        return request.answer.text(text)

    def stream_completion(self, prompt: str, **options: Unpack[CompleteKeywords]) -> Stream[CompletionChunk]:
        """Continue a text piece by piece. Otherwise as `complete`, errors of the caller at once.

        Returns:
            Chunks in OpenAI's shape. The last has the finish reason and the usage. Close it, or leave a `with` block of
            it, to stop early.
        """
        cancelled = threading.Event()
        request = self._text_request(prompt, options, "stream_completion")
        stream = Stream(self._text_chunks(request, cancelled), cancelled)
        self._streams.add(stream)
        return stream

    def count_tokens(self, text: str | Messages) -> int:
        """Give the tokens of a text, or of the prompt that the template makes of a conversation.

        Raises:
            InvalidInputError: The text, or the conversation, cannot be given to a model.
            TemplateError: The template has no way to write the conversation.
            ModelClosedError: The model is closed.
        """
        if isinstance(text, str):
            check_text(text, "text")
            with self._turn():
                return len(self._llama.tokenize(Prompt(pieces=(Piece(text, markup=False),), template="")))
        with self._turn():
            return len(self._llama.tokenize(self._compose(text, {})))

    def _compose(self, messages: Messages, options: ReplyKeywords) -> Prompt:
        tools = options.get("tools") if _tool_choice(options) == "auto" else None
        given = options.get("template_options")
        if isinstance(self.template, JinjaTemplate):
            markers = tuple(self._llama.control_tokens)
            return self.template.compose(messages, markers=markers, tools=tools, options=given)
        return compose(messages, self.template, tools=tools, options=given)

    def _request(self, messages: Messages, options: ReplyKeywords) -> _Request:
        _check_names(options, ReplyKeywords, "reply")
        with self._turn():
            prompt = self._compose(messages, options)
            tokens = self._llama.tokenize(prompt)
        stops = (*self.model.stop_sequences, *_stops(options.get("stop")), *self._turn_markers(prompt))
        with_tools = bool(options.get("tools")) and _tool_choice(options) == "auto"
        if _asks_for_json(options.get("response_format")):  # which leaves no room for thoughts
            parser = OutputParser((*prompt.stops, *stops), tools=with_tools)
        else:
            calls = sum(len(cast("Any", message.get("tool_calls")) or ()) for message in messages)
            parser = OutputParser.for_prompt(prompt, stops, tools=with_tools, first_call=calls)
        kept = (*prompt.stops, *stops, *prompt.role_markers, *(prompt.reasoning or ()))
        kept += _CALL_MARKERS if with_tools else ()
        if prompt.channels:
            kept += tuple(self._llama.control_tokens)
        return self._prepared(tokens, parser, options, kept=kept, prefix="chatcmpl")

    def _text_request(self, prompt: str, options: CompleteKeywords, function: str) -> _Request:
        check_text(prompt, "prompt")
        _check_names(options, CompleteKeywords, function)
        if not prompt:
            raise InvalidInputError("prompt", "expected some text, got an empty string.")
        with self._turn():
            tokens = self._llama.tokenize(prompt)
        stops = _stops(options.get("stop"))
        return self._prepared(tokens, OutputParser(stops), options, kept=stops, prefix="cmpl")

    def _turn_markers(self, prompt: Prompt) -> tuple[str, ...]:
        """Give the control tokens of the prompt, one of which in an answer begins a turn.

        A template in a file does not say which; others do.
        """
        if prompt.channels or not isinstance(self.template, JinjaTemplate):
            return ()
        found = set().union(*(self._llama.markers_in(piece.text) for piece in prompt.pieces if piece.markup))
        return tuple(sorted(found - {self._llama.bos_text, *(prompt.reasoning or ()), *_CALL_MARKERS}))

    def _prepared(
        self,
        tokens: list[int],
        parser: OutputParser,
        options: CompleteKeywords | ReplyKeywords,
        *,
        kept: tuple[str, ...],
        prefix: str,
    ) -> _Request:
        params = apply_overrides(
            self.model,
            temperature=options.get("temperature"),
            max_tokens=options.get("max_tokens"),
            top_p=options.get("top_p"),
            top_k=options.get("top_k"),
            repeat_penalty=options.get("repeat_penalty"),
        )
        if len(tokens) >= self.context_length:
            raise ContextOverflowError(self.model.id, len(tokens), self.context_length, self.model.context_length)
        seed = options.get("seed")
        if seed is not None and not (type(seed) is int and seed >= 0):
            raise InvalidOptionError("seed", "an integer of at least 0", seed)
        return _Request(
            tokens=tokens,
            params=params,
            parser=parser,
            seed=self._options.seed if seed is None else seed,
            grammar=self._grammar(options.get("response_format")),
            kept=kept,
            answer=Answer(self.model.id, len(tokens), prefix),
        )

    def _reply(self, request: _Request, cancelled: threading.Event) -> ChatCompletion:
        texts: dict[str, list[str]] = {"content": [], "reasoning": []}
        for kind, text in self._deltas(request, cancelled):
            texts[kind].append(text)
        return request.answer.completion("".join(texts["content"]), "".join(texts["reasoning"]))

    def _chunks(self, request: _Request, cancelled: threading.Event) -> Generator[ChatCompletionChunk, None, None]:
        answer = request.answer
        yield answer.chunk({"role": "assistant", "content": ""})
        with closing(self._deltas(request, cancelled)) as deltas:
            for kind, text in deltas:
                delta: AnswerDelta = {"content": text} if kind == "content" else {"reasoning_content": text}
                yield answer.chunk(delta)
        if not cancelled.is_set():  # what was cut off has no end to tell of
            yield answer.last_chunk()

    def _text_chunks(self, request: _Request, cancelled: threading.Event) -> Generator[CompletionChunk, None, None]:
        with closing(self._deltas(request, cancelled, strip=False)) as deltas:
            for _, text in deltas:
                yield request.answer.text_chunk(text)
        if not cancelled.is_set():
            yield request.answer.last_text_chunk()

    def _deltas(
        self, request: _Request, cancelled: threading.Event, *, strip: bool = True
    ) -> Generator[tuple[str, str], None, None]:
        """Generate an answer and give what of it may be shown, as (`content` or `reasoning`, text)."""
        parser, answer = request.parser, request.answer
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        leading = strip  # the space between a marker and the first word belongs to the format, not to the answer
        with self._turn() as turn, closing(self._pieces(request, cancelled)) as pieces:
            for piece in pieces:
                for kind, text in parser.feed(decode(piece)):
                    shown = text.lstrip() if leading and kind == "content" else text
                    leading = leading and not (shown and kind == "content")
                    if shown:
                        yield kind, shown
                        turn.thread = threading.get_ident()
        for kind, text in [*parser.feed(decode(b"", final=True)), *parser.finish()]:
            shown = text.lstrip() if leading and kind == "content" else text
            if shown and not cancelled.is_set():
                yield kind, shown
        answer.tool_calls = parser.tool_calls
        if answer.tool_calls:
            answer.finish_reason = "tool_calls"

    def _pieces(self, request: _Request, cancelled: threading.Event) -> Generator[bytes, None, None]:
        answer, parser = request.answer, request.parser
        room = self.context_length - len(request.tokens)
        most = min(request.params.max_tokens, room)
        if cancelled.is_set():  # while it waited for its turn
            return
        made = self._llama.generate(
            request.tokens, request.params, seed=request.seed, grammar=request.grammar, kept=request.kept
        )
        with closing(made):
            for piece in made:
                answer.completion_tokens += 1
                yield piece
                if parser.stopped or cancelled.is_set():
                    return
                if answer.completion_tokens == most:
                    answer.finish_reason = "length"
                    return

    def _grammar(self, response_format: Mapping[str, Any] | None) -> Any:
        if not _asks_for_json(response_format):
            return None
        schema = _schema(response_format)
        with self._turn():
            if schema not in self._grammars:
                while len(self._grammars) >= _MOST_GRAMMARS:
                    del self._grammars[next(iter(self._grammars))]
                try:
                    self._grammars[schema] = self._llama.grammar(schema)
                except ValueError as error:
                    expected = "a JSON schema that can be made into a grammar"
                    raise InvalidOptionError("response_format", expected, response_format, f"{error}.") from error
            return self._grammars[schema]

    def _end_streams(self) -> None:
        for stream in tuple(self._streams):
            stream.close()

    def _free(self) -> None:
        self._grammars.clear()
        self._llama.close()


def _asks_for_json(response_format: object) -> bool:
    return response_format is not None and response_format != {"type": "text"}


def _schema(response_format: object) -> str | None:
    """Give the JSON schema of a response format; `None` for any object."""
    given = response_format if isinstance(response_format, Mapping) else {}
    kind = given.get("type")
    if kind == "json_object" and "schema" not in given:
        return None
    named = given if kind == "json_object" else given.get("json_schema") if kind == "json_schema" else None
    schema = named.get("schema") if isinstance(named, Mapping) else None
    if not isinstance(schema, Mapping):
        expected = '{"type": "json_object"} or {"type": "json_schema", "json_schema": {"schema": {...}}}'
        raise InvalidOptionError("response_format", expected, response_format)
    try:
        return json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOptionError("response_format", "a schema that JSON can say", "another", f"{error}.") from error


def _tool_choice(options: ReplyKeywords) -> str:
    choice = options.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        remedy = "A call cannot be forced; say in the system message when to call, or ask for JSON."
        raise InvalidOptionError("tool_choice", "auto or none", choice, remedy)
    return choice


def _stops(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, Mapping):
        raise InvalidOptionError("stop", "a text, or a list of texts, none of them empty", stop)
    texts = (stop,) if isinstance(stop, str) else tuple(cast("Any", stop)) if hasattr(stop, "__iter__") else (stop,)
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidOptionError("stop", "a text, or a list of texts, none of them empty", stop)
    return cast("tuple[str, ...]", texts)


def _check_names(options: Mapping[str, Any], allowed: type[Any], function: str) -> None:
    for name in options:
        if name not in (names := sorted({*allowed.__required_keys__, *allowed.__optional_keys__})):
            raise TypeError(f"`{name}` is not an option of `{function}`. The options are {', '.join(names)}.")


class _End(NamedTuple):
    """What a thread says last."""

    error: Exception | None


async def _in_thread(
    make: Callable[[], Generator[T, None, None]], cancelled: threading.Event
) -> AsyncGenerator[T, None]:
    """Run a generator in a thread of its own and give what it yields; closing this one stops that one."""
    import asyncio

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[T | _End] = asyncio.Queue()

    def put(item: T | _End) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits for it
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def run() -> None:
        error: Exception | None = None
        try:
            with closing(make()) as items:
                for item in items:
                    put(item)
                    if cancelled.is_set():
                        break
        except Exception as raised:
            error = raised
        finally:
            put(_End(error))

    loop.run_in_executor(None, copy_context().run, run)
    try:
        while not isinstance(received := await queue.get(), _End):
            yield received
        if received.error is not None:
            raise received.error
    finally:
        cancelled.set()  # the thread ends at the next token; waiting for it here could be waiting for other calls
