"""What slots are filled with: checkpoints that generate, and encoders."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._home import models_folder
from registry._places import find_files, key_of
from registry.errors import InvalidOptionError
from registry.hardware.safetensors_header import read_safetensors
from registry.loaders.options import LoadOptions
from registry.profiles.checkpoints.files import Checkpoint, locate_checkpoint
from registry.profiles.checkpoints.parameter_names import ANSWERING, known_to_transformers
from registry.profiles.checkpoints.placement import Placement
from registry.profiles.checkpoints.pretrained import Weights, check_checkpoint, dtype_for, open_checkpoint
from registry.profiles.checkpoints.slots import Wanted

if TYPE_CHECKING:
    from registry.loaders import DenseEncoder
    from registry.profiles.checkpoints.causal_lm import CausalLM
    from registry.records import DenseModel


class CheckpointLoad:
    """Loads a checkpoint, once it is known that it has to be.

    Args:
        checkpoint: The checkpoint.
        placement: Where and how.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        self._record, self._folder, _ = checkpoint
        self._checkpoint = checkpoint
        self._placement = placement

    def wanted(self) -> Wanted[CausalLM]:
        """Give what slots are asked for."""
        record, placement = self._record, self._placement
        key = (record.id, record.huggingface_id, record.revision, self._folder, *placement.key)
        return Wanted(key, record.id, placement.device, self._needed_bytes, self._load, placement.offload_threshold)

    @cached_property
    def _files(self) -> Path:
        return locate_checkpoint(self._checkpoint)

    @cached_property
    def _weights(self) -> Weights:
        return check_checkpoint(self._record.id, self._files)

    @cached_property
    def _dtype(self) -> str:
        return dtype_for(self._placement, self._weights.dtype)

    def _needed_bytes(self) -> int:
        return self._weights.needed_bytes(self._dtype, four_bit=self._placement.load_in_4bit)

    def _load(self) -> CausalLM:
        from registry.hub.locks import in_use
        from registry.loaders.locate import Located
        from registry.profiles.checkpoints.causal_lm import CausalLM

        with ExitStack() as kept:
            if self._folder is None:  # from here on, nothing that makes room takes the files away
                kept.enter_context(in_use(models_folder(), key_of(self._record)))
            opened = open_checkpoint(self._record.id, self._files, self._placement, self._dtype)
            located = Located(self._files, "home" if self._folder is None else "path")
            made = CausalLM(self._record, located, opened, self._placement.device)
            made.keep_until_closed(kept.pop_all())
        return made


@dataclass
class EncoderSlot:
    """A loaded encoder, as slots see it.

    Attributes:
        encoder: The encoder.
        device: Where it computes.
        footprint_bytes: Memory that it takes.
        can_move: False: an encoder is small, and loaded anew in the time that it takes to move it twice.
    """

    encoder: DenseEncoder
    device: str
    footprint_bytes: int
    can_move: bool = False

    def move(self, device: str) -> None:
        """Never called.

        Raises:
            NotImplementedError: It was.
        """
        raise NotImplementedError(device)

    def close(self) -> None:
        """Free it."""
        self.encoder.close()


class EncoderLoad:
    """Loads the record of an encoder, once it is known that it has to be.

    Args:
        record: The record.
        parameters: Those of the role.
        device: Where to.

    Raises:
        InvalidOptionError: A parameter is not known.
    """

    def __init__(self, record: DenseModel, parameters: Mapping[str, Any], device: str) -> None:
        known = known_to_transformers(record)
        # What it means to answer, means nothing to an encoder: the settings may say it for all models.
        if unknown := sorted(parameters.keys() - known - set(ANSWERING)):
            remedy = f"Its parameters are {', '.join(sorted(known))}."
            raise InvalidOptionError(unknown[0], "a parameter of encoders", parameters[unknown[0]], remedy)
        self._record = record
        self._device = device
        self._options = LoadOptions(
            context_length=parameters.get("max_seq_length") or parameters.get("context_length"),
            truncate_dim=parameters.get("dimensions"),
            dtype=parameters.get("dtype") or "float32",
        )

    def wanted(self, offload_threshold: float | None) -> Wanted[EncoderSlot]:
        """Give what slots are asked for."""
        key = (self._record.id, self._record.revision, self._device, *astuple(self._options))
        return Wanted(key, self._record.id, self._device, self._needed_bytes, self._load, offload_threshold)

    def _needed_bytes(self) -> int:
        found = find_files(self._record)
        if found is None:
            return 0  # loading says what is missing
        return found.stat().st_size if found.is_file() else 4 * read_safetensors(self._record.id, found).total()

    def _load(self) -> EncoderSlot:
        from registry.loaders import load

        found = find_files(self._record)
        is_gguf = found is not None and found.is_file()  # llama.cpp computes it, wherever that was built to
        encoder = load(self._record, options=self._options if is_gguf else replace(self._options, device=self._device))
        return EncoderSlot(encoder, self._device, encoder.footprint_bytes)
