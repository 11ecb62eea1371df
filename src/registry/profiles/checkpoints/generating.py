"""The tokens of an answer as `generate` of transformers makes them, in a thread of its own, until nobody reads on."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from registry.errors import ProviderModelError, RegistryError
from registry.profiles.checkpoints.pretrained import memory_errors
from registry.profiles.checkpoints.sampling import Sampling, processors
from registry.profiles.protocol import TRANSFORMERS


@dataclass(frozen=True)
class _End:
    """What the thread says last."""

    error: BaseException | None = None


def generate(
    model: Any,
    tokens: Sequence[int],
    *,
    model_id: str,
    most: int,
    sampling: Sampling,
    ends: frozenset[int],
    cancelled: threading.Event,
) -> Generator[int, None, None]:
    """Generate, and give each token when it is there. Closing this stops the model at the next token, and waits for it.

    Args:
        model: The `PreTrainedModel`; nobody else may be using it.
        tokens: The prompt.
        model_id: Its name, for messages.
        most: Longest answer in tokens.
        sampling: How tokens are drawn.
        ends: Tokens that end an answer; they are not given.
        cancelled: Any thread may set it, and the model stops at the next token as well.

    Raises:
        InsufficientMemoryError: Memory ran out before the first token.
        ProviderModelError: The model failed.
    """
    made: SimpleQueue[int | _End] = SimpleQueue()
    abandoned = threading.Event()

    def work() -> None:
        torch: Any = import_module("torch")
        inputs = torch.tensor([list(tokens)], device=model.device)
        with memory_errors(model_id):
            model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=most,
                do_sample=False,  # the processors draw
                use_cache=True,
                logits_processor=processors(sampling),
                stopping_criteria=[_Unwanted(cancelled, abandoned)],
                streamer=_Pipe(made, ends),
            )

    def run() -> None:
        try:
            work()
        except BaseException as error:  # whatever it is, the reader must not wait for ever
            made.put(_End(error))
        else:
            made.put(_End())

    worker = threading.Thread(target=run, name=f"generate {model_id}", daemon=True)
    worker.start()
    has_begun = False
    try:
        while not isinstance(item := made.get(), _End):
            has_begun = True
            yield item
    finally:
        abandoned.set()
        worker.join()
    if item.error is not None:
        _fail(item.error, model_id, has_begun=has_begun)


def _fail(error: BaseException, model_id: str, *, has_begun: bool) -> None:
    """Raise what stopped a model: as it is where others may still be asked, else as its own failure."""
    if not isinstance(error, Exception) or (isinstance(error, RegistryError) and not has_begun):
        raise error
    problem = f"Generating failed: {type(error).__name__}: {error}"
    raise ProviderModelError(TRANSFORMERS, model_id, problem) from error


class _Pipe:
    """What `generate` takes for a streamer: passes tokens on, but for the prompt and those that end an answer."""

    def __init__(self, made: SimpleQueue[int | _End], ends: frozenset[int]) -> None:
        self._made = made
        self._ends = ends
        self._is_prompt = True

    def put(self, value: Any) -> None:
        """Take the prompt, and then token after token, as a tensor."""
        if self._is_prompt:
            self._is_prompt = False
            return
        for token in value.flatten().tolist():
            if token not in self._ends:
                self._made.put(token)

    def end(self) -> None:
        """Hear of the end, which the thread tells."""


class _Unwanted:
    """What `generate` takes for a stopping criterion: somebody has said to stop, or nobody reads on."""

    def __init__(self, *signs: threading.Event) -> None:
        self._signs = signs

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        """Give for each sequence whether it ends: a tensor of (batch,)."""
        torch: Any = import_module("torch")
        ends = any(sign.is_set() for sign in self._signs)
        return torch.full((input_ids.shape[0],), ends, dtype=torch.bool, device=input_ids.device)
