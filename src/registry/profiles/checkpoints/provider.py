"""The provider `transformers`: Hugging Face checkpoints in this process, on a CPU or a GPU, with unsloth where it is.

The module has the name of a package, which it therefore imports by `require` only.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from registry._extras import require
from registry.errors import ProviderModelError
from registry.profiles.checkpoints.files import checkpoint_of, fetch_checkpoint, find_checkpoint
from registry.profiles.checkpoints.placement import Defaults, Placement, device_for, place
from registry.profiles.checkpoints.sensor import Sensor, TorchSensor
from registry.profiles.checkpoints.slot_models import CheckpointLoad, EncoderLoad
from registry.profiles.checkpoints.slots import Slots, SlotStatus
from registry.profiles.chunks import Chunks
from registry.profiles.order import pinned
from registry.profiles.protocol import TRANSFORMERS, Availability, Ensured, OnProgress, Parameters, Target, TextKind
from registry.records import DenseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.chat import Messages
    from registry.loaders import ChatCompletion, ChatCompletionChunk
    from registry.profiles.checkpoints.causal_lm import CausalLM
    from registry.queries import ModelRegistry

_PACKAGES = ("torch", "transformers")


class TransformersProvider:
    """Serves Hugging Face checkpoints in this process: chat with any causal model, vectors with encoder records.

    A model is a record, a folder (`./name`, `~/name`, or an absolute path), or `org/model@commit`. A chat record, which
    is a GGUF file, means the model that the file was made from. Weights are read from safetensors only, and code of a
    repository is never run. Models stay loaded; see `Slots`.

    Beside what says how to answer, a role may state as parameters: `load_in_4bit`, `max_seq_length`,
    `offload_threshold`, `dtype` (`auto`, `float32`, `bfloat16`, `float16`), `device`, `revision`, `allow_unpinned`.

    Args:
        registry: Registry in which a base model is looked up. Left out: this package's own.
        device: Where to compute, by torch's name. Left out: on a GPU where there is one.
        max_seq_length: Tokens that prompt and answer may have together.
        offload_threshold: Share of a device's memory in use from which on idle models are moved to main memory, the
            least recently used first. Left out: they are moved only when another needs the room.
        sensor: Looks at the devices; for tests.

    Raises:
        InvalidOptionError: A value is none that it can have.

    Example:
        >>> provider = TransformersProvider(max_seq_length=4096)
        >>> provider.chat(Target("./my-model"), [{"role": "user", "content": "Hi"}], {})  # doctest: +SKIP
    """

    name = TRANSFORMERS

    def __init__(
        self,
        *,
        registry: ModelRegistry[Any] | None = None,
        device: str | None = None,
        max_seq_length: int = 2048,
        offload_threshold: float | None = None,
        sensor: Sensor | None = None,
    ) -> None:
        self._registry = registry
        self._defaults = Defaults(device, max_seq_length, offload_threshold)
        self._sensor = sensor or TorchSensor()
        self._slots = Slots(self._sensor.memory)

    def available(self) -> Availability:
        """Say whether torch and transformers are installed. Imports neither."""
        missing = [package for package in _PACKAGES if find_spec(package) is None]
        if not missing:
            return Availability()
        listed = ", ".join(f"`{package}`" for package in missing)
        remedy = f'Install them with `pip install "typed-model-registry[{TRANSFORMERS}]"`.'
        return Availability(f"It needs packages that are not installed: {listed}.", remedy)

    def has(self, model: Target) -> bool:
        """Say whether the files of a model are on this machine. Reads names only."""
        try:
            return find_checkpoint(checkpoint_of(model, self._registry)) is not None
        except ProviderModelError:  # the name means nothing here: `ensure` says why
            return False

    def ensure(self, model: Target, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
        """Fetch the files of a model where they are missing, and prove them. See `registry.hub.ensure`."""
        return fetch_checkpoint(checkpoint_of(model, self._registry), force=force, progress=progress)

    def chat(self, model: Target, messages: Messages, parameters: Parameters) -> ChatCompletion:
        """Answer a conversation. Loads the model where it is not loaded; never fetches it."""
        with self._lent(model, parameters) as (loaded, placement):
            return loaded.reply(loaded.request(messages, parameters, placement))

    def stream(
        self, model: Target, messages: Messages, parameters: Parameters
    ) -> Generator[ChatCompletionChunk, None, None]:
        """Answer a conversation in chunks. Closing it, from any thread, stops the model at the next token."""
        cancelled = threading.Event()

        def pieces() -> Generator[ChatCompletionChunk, None, None]:
            with self._lent(model, parameters) as (loaded, placement):
                request = loaded.request(messages, parameters, placement)
                with closing(loaded.chunks(request, cancelled)) as chunks:
                    yield from chunks

        return Chunks(pieces(), cancelled.set)

    def embed(
        self, model: Target, texts: Sequence[str], parameters: Parameters, *, kind: TextKind | None = None
    ) -> NDArray[Any]:
        """Turn texts into vectors with the record of an encoder. Loads it where it is not loaded; never fetches it.

        Raises:
            ProviderModelError: The model is no record of a dense encoder.
            The errors of `registry.loaders.load`.
        """
        if not isinstance(model.record, DenseModel):
            problem = "Vectors are made with records of dense encoders only, which say how they are pooled."
            raise ProviderModelError(
                TRANSFORMERS, model.name, problem, "Name one of the registry, or add it to your own."
            )
        _refuse_without_packages("Making vectors")
        load = EncoderLoad(model.record, parameters, device_for(parameters, self._defaults, self._sensor))
        with self._slots.use(load.wanted(self._threshold(parameters))) as slot:
            if kind == "query":
                return slot.encoder.encode_query(texts)
            return slot.encoder.encode_document(texts) if kind == "document" else slot.encoder.encode(texts)

    def slots(self) -> tuple[SlotStatus, ...]:
        """Give the models that are loaded, the most recently used first."""
        return self._slots.status()

    def close(self) -> None:
        """Free all models: idle ones now, others when their answer ends. It can be used again afterwards."""
        self._slots.close()

    @contextmanager
    def _lent(self, model: Target, parameters: Parameters) -> Generator[tuple[CausalLM, Placement]]:
        _refuse_without_packages("Loading checkpoints")
        checkpoint = checkpoint_of(pinned(TRANSFORMERS, model, parameters), self._registry)
        placement = place(model.name, parameters, self._defaults, self._sensor)
        with self._slots.use(CheckpointLoad(checkpoint, placement).wanted()) as loaded:
            yield loaded, placement

    def _threshold(self, parameters: Parameters) -> float | None:
        stated: float | None = parameters.get("offload_threshold")
        return self._defaults.offload_threshold if stated is None else stated


def _refuse_without_packages(purpose: str) -> None:
    """Say which package is missing, before anything else does. Imports none that is there: unsloth is to come first.

    Raises:
        MissingExtraError: One is missing.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            require(package, extra=TRANSFORMERS, purpose=purpose)
