"""Machines as a sensor may see them, and a stand-in for unsloth: no test needs a GPU."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.profiles.checkpoints import unsloth
from registry.profiles.checkpoints.sensor import DeviceMemory

GIB = 2**30
_USERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "HF_TOKEN")

# The signature of unsloth 2026.9, without what says how to train. It loads as the real one does, to the CPU, and puts
# a function of its own in the place of one of transformers.
_UNSLOTH = """
import types
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama import modeling_llama

print("Unsloth: Will patch your computer to enable 2x faster free finetuning.")
__version__ = "{version}"
calls = []
for_inference_calls = []
patches = {patches}
_forward = modeling_llama.LlamaAttention.forward


def LlamaAttention_fast_forward(self, *args, **kwargs):
    return _forward(self, *args, **kwargs)


class FastLanguageModel:
    @staticmethod
    def from_pretrained(
        model_name="unsloth/Llama-3.2-1B-Instruct",
        max_seq_length=2048,
        dtype=None,
        load_in_4bit=True,
        load_in_8bit=False,
        load_in_16bit=False,
        full_finetuning=False,
        token=None,
        device_map="sequential",
        rope_scaling=None,
        fix_tokenizer=True,
        trust_remote_code=False,
        use_gradient_checkpointing="unsloth",
        resize_model_vocab=None,
        revision=None,
        use_exact_model_name=False,
        offload_embedding=False,
        float32_mixed_precision=None,
        fast_inference=False,
        gpu_memory_utilization=0.5,
        float8_kv_cache=False,
        random_state=3407,
        max_lora_rank=64,
        disable_log_stats=True,
        qat_scheme=None,
        load_in_fp8=False,
        unsloth_tiled_mlp=False,
        text_only=False,
        *args,
        **kwargs,
    ):
        calls.append(
            dict(
                model_name=model_name,
                max_seq_length=max_seq_length,
                dtype=dtype,
                load_in_4bit=load_in_4bit,
                device_map=device_map,
                trust_remote_code=trust_remote_code,
                use_exact_model_name=use_exact_model_name,
                **kwargs,
            )
        )
        if patches:
            modeling_llama.LlamaAttention.forward = LlamaAttention_fast_forward
        model = AutoModelForCausalLM.from_pretrained(model_name, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(model_name, local_files_only=True)
        print("==((====))==  Unsloth: Fast Llama patching.")
        return model, types.SimpleNamespace(tokenizer=tokenizer)

    @staticmethod
    def for_inference(model):
        for_inference_calls.append(type(model).__name__)
        return model
"""
_BROKEN = """
raise NotImplementedError("Unsloth cannot find any torch accelerator? You need a GPU.")
"""


class Machine:
    """A sensor that sees what it is told.

    Attributes:
        cuda: Whether there is a GPU.
        memories: Memory by device, or what gives it; what is not there is not known.
    """

    def __init__(self, *, cuda: bool = False, **memories: DeviceMemory | Callable[[], DeviceMemory]) -> None:
        self.cuda = cuda
        self.memories = memories

    def has_cuda(self) -> bool:
        return self.cuda

    def memory(self, device: str) -> DeviceMemory | None:
        found = self.memories.get(device)
        return found() if callable(found) else found


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing of the user's be looked at."""
    for name in _USERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(folder / "home"))


@contextmanager
def installed_unsloth(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str = "2026.9.1",
    patches: bool = True,
    broken: bool = False,
) -> Iterator[None]:
    """Install the stand-in for as long as the block runs; `broken`: one that cannot be imported."""
    package, metadata = folder / "unsloth", folder / f"unsloth-{version}.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    text = _BROKEN if broken else _UNSLOTH.format(version=version, patches=patches)
    (package / "__init__.py").write_text(text, "utf-8")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: unsloth\nVersion: {version}\n", "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    unsloth.why_not_importable.cache_clear()
    try:
        yield
    finally:
        made = sys.modules.pop("unsloth", None)
        unsloth.why_not_importable.cache_clear()
        if made is not None and "transformers.models.llama.modeling_llama" in sys.modules:
            sys.modules["transformers.models.llama.modeling_llama"].LlamaAttention.forward = made._forward
