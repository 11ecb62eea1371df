"""What every provider is: something that has models, and answers with them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.chat import Messages
    from registry.hub.progress import Progress
    from registry.loaders import ChatCompletion, ChatCompletionChunk
    from registry.records import ModelInfo

LOCAL, OLLAMA, OPENAI, TRANSFORMERS = "local", "ollama", "openai", "transformers"
"""Names of the providers of this package."""

Value: TypeAlias = bool | float | str | tuple[str, ...]
"""What a parameter may be; integers are floats to a type checker."""

Parameters: TypeAlias = Mapping[str, Any]
"""Generation parameters by the names that this library uses: `temperature`, `top_p`, `top_k`, `repeat_penalty`,
`max_tokens`, `stop`, `seed`, `context_length`, and whatever else a role states, by the provider's own name."""

TextKind: TypeAlias = Literal["query", "document"]
Action: TypeAlias = Literal["already_present", "downloaded", "pulled"]
OnProgress: TypeAlias = "Callable[[Progress], None]"


class Target(NamedTuple):
    """The model that a provider is asked for.

    Attributes:
        name: Name as the profile has it: an id or alias of a record, or a name that the provider knows.
        record: The record of that id or alias; `None` where there is none.
        revision: Commit of its files, where a parameter `revision` states one.
        allow_unpinned: True where the parameter of this name lets any bytes be the right ones.
    """

    name: str
    record: ModelInfo | None = None
    revision: str | None = None
    allow_unpinned: bool = False


class Availability(NamedTuple):
    """Whether a provider can be asked at all. False where there is a reason against it.

    Attributes:
        reason: Why it cannot be asked, a sentence: its package is missing, nothing listens. `None`: it can.
        remedy: What to do, a sentence.
    """

    reason: str | None = None
    remedy: str = ""

    def __bool__(self) -> bool:
        return self.reason is None


class Ensured(NamedTuple):
    """What it took to have a model ready.

    Attributes:
        action: What was done.
        bytes: Bytes that were fetched; 0 where nothing was, `None` where the provider does not tell.
    """

    action: Action
    bytes: int | None = 0


class Provider(Protocol):
    """Serves models. Any number of threads may call it at the same time.

    A provider is made without touching the network and without importing its package: both happen in the first call
    that needs them. What it raises decides what a role does next: `ProviderUnavailableError` (which
    `ProviderTimeoutError` is), `ProviderModelError` and what loading and fetching raise pass on to the next provider,
    every other error of this library too where it is not the role's own choice, and the rest is for the caller.
    """

    @property
    def name(self) -> str:
        """Name in profiles: `ollama`, `local`, `openai`, `transformers`, or one of another package."""
        ...

    def available(self) -> Availability:
        """Say whether it can be asked now. Takes at most a second or two, and raises nothing."""
        ...

    def has(self, model: Target) -> bool:
        """Say whether it could answer with this model at once, without fetching anything.

        Raises:
            ProviderUnavailableError: It cannot be asked.
        """
        ...

    def ensure(self, model: Target, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
        """Have a model ready: fetch it where it is missing.

        Args:
            model: The model.
            force: True to look again, and prove or fetch anew, what is there already.
            progress: Called now and then while something is fetched.

        Raises:
            ProviderUnavailableError: It cannot be asked.
            ProviderModelError: It cannot have this model.
            DownloadError: Fetching failed.
        """
        ...

    def chat(self, model: Target, messages: Messages, parameters: Parameters) -> ChatCompletion:
        """Answer a conversation, in OpenAI's shape.

        Raises:
            ProviderUnavailableError: It cannot be asked, or does not answer in time.
            ProviderModelError: It does not have the model, or cannot load it.
            ProviderError: It refuses the request.
        """
        ...

    def stream(
        self, model: Target, messages: Messages, parameters: Parameters
    ) -> Generator[ChatCompletionChunk, None, None]:
        """Answer a conversation in chunks of OpenAI's shape; closing the generator stops the work.

        Raises:
            The errors of `chat`, when the first chunk is asked for; a failure after it is a `ProviderError` too.
        """
        ...

    def embed(
        self, model: Target, texts: Sequence[str], parameters: Parameters, *, kind: TextKind | None = None
    ) -> NDArray[Any]:
        """Turn texts into vectors, float32 of shape (texts, dimensions).

        Args:
            model: The model.
            texts: The texts.
            parameters: `dimensions`: size to cut the vectors to.
            kind: What the texts are, where the model has a prompt for it.

        Raises:
            The errors of `chat`.
        """
        ...

    def close(self) -> None:
        """Free what it holds: loaded models, connections. It can be used again afterwards."""
        ...
