"""What may be asked of `/v1/chat/completions` and `/v1/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from registry.server.v1.requests import AtLeast0, AtLeast1, Int64, Name, Shape, Text, items, kind_of, no_tokens, only

_NO_EFFECT = "Accepted and without effect here."
_MOST_MESSAGES = 10_000
_MOST_TOOLS = 1000
_MOST_STOPS = 64
_THINKING = "What a model thinks is set with `chat_template_kwargs`, such as `enable_thinking`."


Stops: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[list[Text], *items(_MOST_STOPS), Tag("<list>")],
    Discriminator(kind_of),
    Field(description="Text, or texts, that end the answer and are no part of it."),
]


class StreamOptions(Shape):
    """How an answer is streamed."""

    include_usage: bool | None = Field(None, description="Send a chunk with the usage before the end.")
    include_obfuscation: bool | None = Field(None, description=_NO_EFFECT)


class Sampling(Shape):
    """What may be said about any answer that a model writes."""

    model: Name = Field(description="Id, alias or role of a chat model; case does not matter.")
    stream: bool | None = Field(None, description="Send the answer as server-sent events while it is made.")
    stream_options: StreamOptions | None = Field(None, description="With `stream` only.")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0 takes the likeliest token. Left out: the record."
    )
    top_p: float | None = Field(None, ge=0, le=1, description="Probability mass that is sampled from.")
    top_k: AtLeast0 | None = Field(None, description="Likeliest tokens that are sampled from; 0: all. Not OpenAI's.")
    repeat_penalty: float | None = Field(
        None, gt=0, description="Factor against tokens that were just used; 1 is none. Not OpenAI's."
    )
    max_tokens: AtLeast1 | None = Field(None, description="Longest answer in tokens. Left out: the record's.")
    stop: Stops | None = None
    seed: Int64 | None = Field(None, description="The same seed and prompt give the same answer on the same machine.")
    user: str | None = Field(None, description="Who asks: users of one address take turns at a model.")
    n: Annotated[Any, *only(1, remedy="Ask several times.")] = Field(None, description="One answer is made.")
    frequency_penalty: Annotated[Any, *only(0, remedy="Use `repeat_penalty`.")] = None
    presence_penalty: Annotated[Any, *only(0, remedy="Use `repeat_penalty`.")] = None
    logit_bias: Annotated[Any, *only({})] = None


class ContentPart(BaseModel):
    """One part of a content in parts. Models of this server read text only."""

    model_config = ConfigDict(strict=True)

    type: Literal["text"]
    text: str


class Function(BaseModel):
    """The function that is called, and its arguments as a JSON object in a string."""

    model_config = ConfigDict(strict=True)

    name: Text
    arguments: str


class ToolCall(BaseModel):
    """A call in a message of the assistant, as an answer had it."""

    model_config = ConfigDict(strict=True)

    id: str
    type: Literal["function"] = "function"
    function: Function


class Message(BaseModel):
    """One message of a conversation. Keys that are not named here are passed over."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[list[ContentPart], *items(_MOST_MESSAGES), Tag("<list>")],
            Discriminator(kind_of),
        ]
        | None
    ) = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], *items(_MOST_TOOLS)] | None = Field(
        None, description="Calls that the assistant made."
    )
    tool_call_id: str | None = Field(None, description="The call that a message of role `tool` answers.")
    reasoning_content: str | None = Field(None, description="What the assistant thought. Not OpenAI's.")


class FunctionTool(Shape):
    """A function that the model may call. `strict` is without effect: check the arguments."""

    name: Text
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of the arguments.")
    strict: bool | None = Field(None, description=_NO_EFFECT)


class Tool(Shape):
    """A tool that the model may use."""

    type: Literal["function"]
    function: FunctionTool


class TextFormat(Shape):
    """Any text."""

    type: Literal["text"]


class JsonFormat(Shape):
    """Any JSON object, or with a schema one of that."""

    type: Literal["json_object"]
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="Not OpenAI's.")


class JsonSchema(Shape):
    """A JSON schema; it is followed whether `strict` or not."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(Shape):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat: TypeAlias = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]


class ChatRequest(Sampling):
    """A conversation to be answered."""

    messages: Annotated[list[Message], *items(_MOST_MESSAGES)] = Field(min_length=1)
    max_completion_tokens: AtLeast1 | None = Field(None, description="The same as `max_tokens`.")
    response_format: ResponseFormat | None = Field(None, description="What the answer must be; it always is.")
    tools: Annotated[list[Tool], *items(_MOST_TOOLS)] | None = Field(
        None, description="Tools for models whose template has a way to offer them."
    )
    tool_choice: Annotated[Any, *only("auto", "none", remedy="A call cannot be forced: ask for JSON instead.")] = None
    parallel_tool_calls: bool | None = Field(None, description="False: the first call only.")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Options of the template, such as `enable_thinking`. Not OpenAI's."
    )
    safety_identifier: str | None = Field(None, description="As `user`.")
    metadata: dict[str, str] | None = Field(None, description=_NO_EFFECT)
    store: bool | None = Field(None, description=_NO_EFFECT)
    service_tier: str | None = Field(None, description=_NO_EFFECT)
    prompt_cache_key: str | None = Field(None, description=_NO_EFFECT)
    prompt_cache_retention: str | None = Field(None, description=_NO_EFFECT)
    prompt_cache_options: dict[str, Any] | None = Field(None, description=_NO_EFFECT)
    prediction: dict[str, Any] | None = Field(None, description=_NO_EFFECT)
    logprobs: Annotated[Any, *only(False)] = None
    top_logprobs: Annotated[Any, *only(0)] = None
    modalities: Annotated[Any, *only(["text"])] = None
    audio: Annotated[Any, *only()] = None
    functions: Annotated[Any, *only([], remedy="Use `tools`.")] = None
    function_call: Annotated[Any, *only("none", "auto", remedy="Use `tools`.")] = None
    reasoning_effort: Annotated[Any, *only(remedy=_THINKING)] = None
    verbosity: Annotated[Any, *only("medium")] = None
    web_search_options: Annotated[Any, *only()] = None
    moderation: Annotated[Any, *only()] = None


class CompletionRequest(Sampling):
    """A text to go on with."""

    prompt: Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[
            Annotated[list[Text], Field(min_length=1, max_length=1), BeforeValidator(no_tokens)], Tag("<list>")
        ],
        Discriminator(kind_of),
        Field(description="A text, or a list with one. It goes to the model as it is, without a template."),
    ]
    best_of: Annotated[Any, *only(1)] = None
    echo: Annotated[Any, *only(False, remedy="Put the prompt in front yourself.")] = None
    logprobs: Annotated[Any, *only()] = None
    suffix: Annotated[Any, *only("")] = None


class Usage(BaseModel):
    """Tokens of a prompt and its answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """The answer; what the model thought is apart from it."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """The one answer that is made."""

    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatCompletion(BaseModel):
    """An answer in a conversation. With `stream`, server-sent events of `chat.completion.chunk` and `[DONE]`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str = Field(description="Id of the model that answered, whatever it was called in the request.")
    choices: list[Choice]
    usage: Usage


class TextChoice(BaseModel):
    """The one continuation that is made."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]


class TextCompletion(BaseModel):
    """The continuation of a text. With `stream`, server-sent events of the same shape and `[DONE]`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage
