"""Where and how a checkpoint is loaded: device, type, bits, by whom. Decided before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from registry.errors import InvalidOptionError, ProviderModelError
from registry.profiles.checkpoints.unsloth import why_not_importable
from registry.profiles.protocol import TRANSFORMERS

if TYPE_CHECKING:
    from registry.profiles.checkpoints.sensor import Sensor

Engine: TypeAlias = Literal["transformers", "unsloth"]

DTYPES = ("auto", "float32", "bfloat16", "float16")
_FOUR_BIT = "4-bit loading was asked for (`load_in_4bit`)"


@dataclass(frozen=True)
class Placement:
    """How a checkpoint is loaded.

    Attributes:
        device: Where it computes, by torch's name.
        dtype: Type it computes in; `auto`: the stored one where the device computes it, else the next that it does.
        load_in_4bit: Whether its weights are stored in 4 bits.
        max_seq_length: Tokens that prompt and answer may have together.
        offload_threshold: Share of the device's memory in use from which on it is moved away while it is idle.
        engine: Who loads it.
        engine_reason: Why unsloth does not; `None` where it does.
        is_length_stated: True where somebody stated `max_seq_length`: then a checkpoint must be able to hold it.
    """

    device: str
    dtype: str
    load_in_4bit: bool
    max_seq_length: int
    offload_threshold: float | None
    engine: Engine
    engine_reason: str | None
    is_length_stated: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two ways of loading a checkpoint apart; only unsloth is told the length when it loads."""
        length = self.max_seq_length if self.engine == "unsloth" else None
        return (self.device, self.dtype, self.load_in_4bit, self.engine, length)


@dataclass(frozen=True)
class Defaults:
    """What holds where the parameters of a role say nothing. The provider is given it.

    Attributes:
        device: Where to compute; `None`: on a GPU where there is one.
        max_seq_length: Tokens that prompt and answer may have together.
        offload_threshold: As in `Placement`.
    """

    device: str | None = None
    max_seq_length: int = 2048
    offload_threshold: float | None = None

    def __post_init__(self) -> None:
        _check({"device": self.device, "max_seq_length": self.max_seq_length})
        _check({"offload_threshold": self.offload_threshold})


def place(model: str, parameters: Mapping[str, Any], defaults: Defaults, sensor: Sensor) -> Placement:
    """Decide how a checkpoint is loaded. On a GPU, imports unsloth where it is installed.

    Args:
        model: Name of the model, for messages.
        parameters: Those of the role; only what says how to load it is looked at.
        defaults: What holds where they say nothing.
        sensor: Tells whether there is a GPU.

    Raises:
        InvalidOptionError: A value is none that it can have, or the device is not there.
        ProviderModelError: 4 bits were asked for, and something is missing for them.
    """
    device = device_for(parameters, defaults, sensor)
    on_cuda = device.startswith("cuda")
    reason = why_not_importable() if on_cuda else "unsloth needs a CUDA GPU."
    wants_four_bit = parameters.get("load_in_4bit")
    if wants_four_bit and reason is not None:
        _refuse_without_bitsandbytes(model, on_cuda=on_cuda, reason=reason)
    stated_length = parameters.get("max_seq_length") or parameters.get("context_length")
    threshold = parameters.get("offload_threshold")
    return Placement(
        device=device,
        dtype=parameters.get("dtype") or "auto",
        # What unsloth is for: so its own default holds there.
        load_in_4bit=reason is None if wants_four_bit is None else bool(wants_four_bit),
        max_seq_length=stated_length or defaults.max_seq_length,
        offload_threshold=defaults.offload_threshold if threshold is None else threshold,
        engine="unsloth" if reason is None else "transformers",
        engine_reason=reason,
        is_length_stated=stated_length is not None,
    )


def device_for(parameters: Mapping[str, Any], defaults: Defaults, sensor: Sensor) -> str:
    """Give where to compute: where the parameters or the defaults say, else on a GPU if there is one.

    Raises:
        InvalidOptionError: A value is none that the parameter can have, or the device is not there.
    """
    _check(parameters)
    has_cuda = sensor.has_cuda()
    device: str = parameters.get("device") or defaults.device or _best_device(has_cuda)
    if device.startswith("cuda") and not has_cuda:
        raise InvalidOptionError("device", "one that torch can use on this machine", device, _no_cuda())
    return device


def _best_device(has_cuda: bool) -> str:
    if has_cuda:
        return "cuda"
    return "mps" if import_module("torch").backends.mps.is_available() else "cpu"


def _refuse_without_bitsandbytes(model: str, *, on_cuda: bool, reason: str) -> None:
    """Refuse 4 bits where neither unsloth nor bitsandbytes can make them.

    Raises:
        ProviderModelError: Neither can.
    """
    if not on_cuda:
        remedy = "Leave `load_in_4bit` out, or use a machine with an NVIDIA GPU and a build of torch for it."
        raise ProviderModelError(TRANSFORMERS, model, f"{_FOUR_BIT} and needs a CUDA GPU. {_no_cuda()}", remedy)
    missing = [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]
    if missing:
        listed = " and ".join(f"`{name}`" for name in missing)
        problem = f"{_FOUR_BIT} and needs unsloth, or bitsandbytes with accelerate. {reason} Not installed: {listed}."
        remedy = (
            'Install unsloth with `pip install "typed-model-registry[unsloth]"` in an environment of its own, or '
            f"`pip install {' '.join(missing)}` into this one, or leave `load_in_4bit` out."
        )
        raise ProviderModelError(TRANSFORMERS, model, problem, remedy)


def _no_cuda() -> str:
    return f"torch {version('torch')} finds none."


def _check(parameters: Mapping[str, Any]) -> None:
    """Refuse values that a parameter cannot have.

    Raises:
        InvalidOptionError: There is one.
    """
    for name in ("max_seq_length", "context_length"):
        _check_one(parameters, name, "an integer of at least 1", lambda value: type(value) is int and value >= 1)
    for name in ("load_in_4bit", "allow_unpinned"):
        _check_one(parameters, name, "True or False", lambda value: type(value) is bool)
    _check_one(parameters, "dtype", f"one of {', '.join(DTYPES)}", lambda value: value in DTYPES)
    _check_one(parameters, "device", "a name such as cpu or cuda:1", lambda value: isinstance(value, str) and value)
    _check_one(parameters, "offload_threshold", "a share above 0, at most 1", _is_share)


def _check_one(parameters: Mapping[str, Any], name: str, expected: str, is_valid: Any) -> None:
    value = parameters.get(name)
    if value is not None and not is_valid(value):
        raise InvalidOptionError(name, expected, value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
