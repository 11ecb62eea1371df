"""A loaded checkpoint: a conversation in, an answer out, whole or as it is made."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from registry.chat import Delta, JinjaTemplate, OutputParser, Prompt, check_messages
from registry.errors import ContextOverflowError, InvalidOptionError, ProviderModelError
from registry.loaders.completion import Answer, AnswerDelta, ChatCompletion, ChatCompletionChunk
from registry.loaders.handle import Handle
from registry.profiles.checkpoints.asked import Asked, read_asked, stated_by
from registry.profiles.checkpoints.generating import generate
from registry.profiles.checkpoints.pretrained import Opened, memory_errors
from registry.profiles.checkpoints.sampling import Detokenizer
from registry.profiles.protocol import TRANSFORMERS
from registry.records import ModelInfo

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.loaders.locate import Located
    from registry.profiles.checkpoints.placement import Placement
    from registry.profiles.protocol import Parameters

# What vendors call the tokens between turns, where their files do not say that they are special.
_TURN_MARKER = re.compile(r"<[|\uff5c].*[|\uff5c]>|</?s>|<bos>|<eos>|<(start|end)_of_turn>|\[/?(INST|SYSTEM_PROMPT)\]")
# Markers that models put round tool calls; where they are special tokens, their text must not be lost.
_CALL_MARKERS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|tool_call|>", "<|/tool_call|>", "<|python_tag|>")


@dataclass(frozen=True)
class Request:
    """What is needed to make one answer; checked, so that making it cannot fail for the caller's fault."""

    tokens: list[int]
    most: int
    asked: Asked
    parser: OutputParser
    hidden: frozenset[int]
    answer: Answer


class CausalLM(Handle[ModelInfo]):
    """A loaded checkpoint that generates text. Calls from several threads queue.

    Attributes:
        device: Where it is now, by torch's name.
        can_move: False where its parts are on several devices.
        maximum: Tokens that it can hold at most; `None` where its configuration does not say.
    """

    def __init__(self, record: ModelInfo, located: Located, opened: Opened, device: str) -> None:
        super().__init__(record, located)
        self._model: Any = opened.model
        self._tokenizer: Any = opened.tokenizer
        self.device = device
        self.can_move = len(set((getattr(self._model, "hf_device_map", None) or {}).values())) <= 1
        self.footprint_bytes = int(self._model.get_memory_footprint())
        self.maximum: int | None = getattr(_text_config(self._model), "max_position_embeddings", None)
        config = self._model.generation_config
        self._stated = stated_by(config)
        self._ends = _ends(config, self._tokenizer)
        # Or `generate` would lay what the checkpoint states over what is asked for here.
        self._model.generation_config = type(config)(
            eos_token_id=sorted(self._ends) or None, pad_token_id=_padding(self._tokenizer, self._ends)
        )

    @cached_property
    def template(self) -> JinjaTemplate:
        """The chat template of its tokenizer.

        Raises:
            ProviderModelError: It has none.
            TemplateError: It is no valid template.
        """
        stated = self._tokenizer.chat_template
        source = stated.get("default") if isinstance(stated, dict) else stated
        if not source:
            problem = "Its tokenizer has no chat template."
            raise ProviderModelError(TRANSFORMERS, self.model.id, problem, "Choose a model that was made for chat.")
        texts = {name: getattr(self._tokenizer, name) or "" for name in ("bos_token", "eos_token")}
        return JinjaTemplate(source, **texts, name="tokenizer")

    def request(self, messages: Messages, parameters: Parameters, placement: Placement) -> Request:
        """Read what a caller wants, and write the prompt. Generates nothing.

        Raises:
            InvalidMessageError: The conversation is not one that a chat model can be given.
            InvalidOptionError: A parameter has a value that it cannot have.
            ProviderModelError: The tokenizer has no chat template.
            TemplateError: The template has no way to write what was asked of it.
            ContextOverflowError: The prompt does not fit into `max_seq_length`.
        """
        asked = read_asked(parameters, self._stated)
        limit = self._limit(placement)
        markers = tuple(self._guarded)
        with self._turn():
            prompt = self.template.compose(messages, markers=markers, tools=asked.tools, options=asked.template_options)
            tokens = self._tokenize(prompt)
        if len(tokens) >= limit:
            raise ContextOverflowError(self.model.id, len(tokens), limit, self.maximum)
        stops = (*asked.stops, *self._turn_markers(prompt))
        calls = sum(len(message.get("tool_calls", ())) for message in check_messages(messages))
        return Request(
            tokens=tokens,
            most=min(asked.max_tokens, limit - len(tokens)),
            asked=asked,
            parser=OutputParser.for_prompt(prompt, stops, tools=asked.tools is not None, first_call=calls),
            hidden=self._hidden(prompt, stops, asked),
            answer=Answer(self.model.id, len(tokens)),
        )

    def reply(self, request: Request) -> ChatCompletion:
        """Make the answer.

        Raises:
            InsufficientMemoryError: Memory ran out.
            ProviderModelError: The model failed.
        """
        texts: dict[str, list[str]] = {"role": [], "content": [], "reasoning": []}
        for kind, text in self._deltas(request, threading.Event()):
            texts[kind].append(text)
        return request.answer.completion("".join(texts["content"]), "".join(texts["reasoning"]))

    def chunks(self, request: Request, cancelled: threading.Event) -> Generator[ChatCompletionChunk, None, None]:
        """Make the answer in chunks. The first comes with the first token: until then nothing has been said.

        Args:
            request: What to answer.
            cancelled: Any thread may set it: then the answer ends at the next token.

        Raises:
            The errors of `reply`.
        """
        answer = request.answer
        with closing(self._deltas(request, cancelled)) as deltas:
            for kind, text in deltas:
                delta: AnswerDelta = {"reasoning_content": text} if kind == "reasoning" else {"content": text}
                yield answer.chunk({"role": "assistant", "content": ""} if kind == "role" else delta)
        if not cancelled.is_set():  # what was cut off has no end to tell of
            yield answer.last_chunk()

    def move(self, device: str) -> None:
        """Take the weights to another device; nobody may be using it.

        Raises:
            InsufficientMemoryError: There is no room for them.
        """
        left = self.device
        with memory_errors(self.model.id):
            self._model.to(device)
        self.device = device
        if left.startswith("cuda"):
            import_module("torch").cuda.empty_cache()  # or the room would be kept, for nobody

    def _limit(self, placement: Placement) -> int:
        """Give the tokens that prompt and answer may have together."""
        wanted = placement.max_seq_length
        if self.maximum is None or wanted <= self.maximum:
            return wanted
        if placement.is_length_stated:
            raise InvalidOptionError("max_seq_length", f"at most {self.maximum}, what `{self.model.id}` holds", wanted)
        return self.maximum

    @cached_property
    def _guarded(self) -> dict[str, int]:
        """Texts of the tokens that no text of a message may become, and their ids."""
        added = self._tokenizer.added_tokens_decoder.items()
        return {
            token.content: number for number, token in added if token.special or _TURN_MARKER.fullmatch(token.content)
        }

    def _tokenize(self, prompt: Prompt) -> list[int]:
        """Give the tokens of a prompt. Special tokens are recognised in the markup of the template only."""
        tokens: list[int] = []
        for piece in prompt.pieces:
            # A marker that is not special would be recognised whatever is said: so it is cut after its first character.
            texts = (piece.text,) if piece.markup else (piece.text[:1], piece.text[1:])
            for text in filter(None, texts):
                tokens += self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not piece.markup)
        return tokens

    def _turn_markers(self, prompt: Prompt) -> tuple[str, ...]:
        """Give the special tokens of the prompt, one of which in an answer begins a turn."""
        if prompt.channels:
            return ()
        markup = "".join(piece.text for piece in prompt.pieces if piece.markup)
        found = {text for text in self._guarded if text in markup}
        return tuple(sorted(found - {self.template.bos_token, *(prompt.reasoning or ()), *_CALL_MARKERS}))

    def _hidden(self, prompt: Prompt, stops: Sequence[str], asked: Asked) -> frozenset[int]:
        """Give the special tokens that show as nothing: all but those that the parser of the answer looks for."""
        if prompt.channels:
            return frozenset()
        looked_for = (*prompt.stops, *stops, *prompt.role_markers, *(prompt.reasoning or ()))
        looked_for += _CALL_MARKERS if asked.tools is not None else ()
        shown = {number for text, number in self._guarded.items() if any(text in marker for marker in looked_for)}
        return frozenset(self._guarded.values()) - shown

    def _deltas(self, request: Request, cancelled: threading.Event) -> Generator[tuple[str, str], None, None]:
        """Generate an answer and give what of it may be shown, as (`content` or `reasoning`, text); first `role`."""
        parser, answer, shown = request.parser, request.answer, _Shown()
        texts = Detokenizer(lambda ids: str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)))
        with self._turn() as turn, closing(self._tokens(request, cancelled)) as tokens:
            for token in tokens:
                if not answer.completion_tokens:
                    yield "role", ""
                answer.completion_tokens += 1
                yield from shown.of(parser.feed("" if token in request.hidden else texts.feed(token)))
                turn.thread = threading.get_ident()
                if parser.stopped:
                    break
                if answer.completion_tokens == request.most:
                    answer.finish_reason = "length"
        if cancelled.is_set():
            return
        if not answer.completion_tokens:
            yield "role", ""
        yield from shown.of([*parser.feed(texts.finish()), *parser.finish()])
        answer.tool_calls = parser.tool_calls
        if answer.tool_calls:
            answer.finish_reason = "tool_calls"

    def _tokens(self, request: Request, cancelled: threading.Event) -> Generator[int, None, None]:
        if cancelled.is_set():  # while it waited for its turn
            return
        yield from generate(
            self._model,
            request.tokens,
            model_id=self.model.id,
            most=request.most,
            sampling=request.asked.sampling,
            ends=self._ends,
            cancelled=cancelled,
        )

    def _free(self) -> None:
        model, self._model, self._tokenizer = self._model, None, None
        # Modules refer to each other in circles. Emptied, they need not wait for the collector.
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.new_empty(0)
        if self.device.startswith("cuda"):
            import_module("torch").cuda.empty_cache()


class _Shown:
    """Leaves out the space before the first word of the answer, which belongs to the format."""

    def __init__(self) -> None:
        self._is_leading = True

    def of(self, deltas: Sequence[Delta]) -> Generator[tuple[str, str], None, None]:
        """Give what of the deltas is shown."""
        for kind, text in deltas:
            shown = text.lstrip() if self._is_leading and kind == "content" else text
            self._is_leading = self._is_leading and not (shown and kind == "content")
            if shown:
                yield kind, shown


def _text_config(model: Any) -> Any:
    """Give the configuration of the part that writes: models that see have several."""
    config = model.config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _ends(config: Any, tokenizer: Any) -> frozenset[int]:
    """Give the tokens that end an answer: those of the checkpoint, and the tokenizer's."""
    stated = config.eos_token_id
    listed = stated if isinstance(stated, list) else [stated]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _padding(tokenizer: Any, ends: frozenset[int]) -> int:
    """Give a token to pad with: one answer at a time needs none, but `generate` warns where it is told none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
