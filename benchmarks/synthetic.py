"""Records that look like the shipped ones, as many as wanted, with every free string distinct.

Vocabularies have the size that a catalogue of thousands would have, and a few values take most of it, as everywhere.
The first n records are the same however many are made.
"""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

Record = dict[str, Any]

ORGANIZATIONS = tuple(f"Organization {number:03d}" for number in range(500))
FAMILIES = tuple(f"Family {number:04d}" for number in range(2000))
# fmt: off
LANGUAGES = (
    "en", "zh", "de", "fr", "es", "ja", "ru", "it", "pt", "ko", "ar", "hi", "nl", "pl", "tr", "vi", "id", "th", "cs",
    "sv", "da", "fi", "nb", "hu", "ro", "uk", "el", "he", "bg", "hr", "sr", "sk", "sl", "lt", "lv", "et", "fa", "ur",
    "bn", "ta", "te", "mr", "gu", "kn", "ml", "pa", "ne", "si", "my", "km", "lo", "ka", "hy", "az", "kk", "ky", "uz",
    "tg", "mn", "am", "so", "sw", "yo", "ig", "ha", "zu", "xh", "af", "sq", "mk", "bs", "is", "ga", "cy", "gd", "eu",
    "ca", "gl", "mt", "lb", "eo", "la", "jv", "su", "ms", "fil", "ceb", "mg", "sn", "st", "ny", "rw", "ht", "ps",
    "ku", "sd", "ug", "yi", "as", "or", "sa", "bo",
)
LICENSES = (
    "Apache-2.0", "MIT", "LicenseRef-Llama-3", "LicenseRef-Gemma", "CC-BY-NC-4.0", "LicenseRef-Llama-3.1", "CC-BY-4.0",
    "LicenseRef-Llama-3.2", "BSD-3-Clause", "CC-BY-SA-4.0", "LicenseRef-Qwen", "LicenseRef-Qwen-Research", "CC0-1.0",
    "LicenseRef-DeepSeek", "LicenseRef-Falcon", "CC-BY-NC-SA-4.0", "AGPL-3.0-only", "GPL-3.0-only", "LGPL-3.0-only",
    "LicenseRef-Mistral-Research",
)
TAGS = (
    "retrieval", "long-context", "code", "reasoning", "multilingual", "small", "on-device", "legal", "medical",
    "finance", "math", "vision", "roleplay", "tools", "agents", "instruct", "base", "distilled", "pruned", "merged",
    "science", "chemistry", "biology", "education", "translation", "summary", "classification", "clustering",
    "similarity", "safety",
)
QUANTIZATIONS = (
    "Q4_K_M", "Q8_0", "Q5_K_M", "Q4_0", "Q6_K", "Q4_K_S", "Q3_K_M", "Q2_K", "IQ4_XS", "MXFP4", "F16", "BF16",
)
TEMPLATES = ("chatml", "llama3", "gemma", "mistral-v3", "phi3", "deepseek-v3", "zephyr", "alpaca", "granite", None)
ARCHITECTURES = (
    "bert", "xlm-roberta", "modernbert", "roberta", "mpnet", "qwen2", "qwen3", "gemma3", "mistral", "nomic_bert",
)
# fmt: on
_DIMS = (96, 128, 256, 384, 512, 768, 1024, 1536, 2048, 2560, 3072, 3584, 4096)
_TYPES = ("chat", "dense", "colbert", "sparse", "reranker", "multimodal-colbert")
_SHARES = (51, 32, 5, 5, 4, 3)  # per cent, as in the shipped data
_SUBJECTS = [
    "legal",
    "code",
    "chat",
    "search",
    "medical",
    "scientific",
    "multilingual",
    "long-document",
    "question-answering",
    "web",
]


def document(count: int) -> Record:
    """Make the content of a models.json with `count` records."""
    return {"version": "1.0", "models": records(count)}


def records(count: int) -> list[Record]:
    """Make `count` records: half of them chat files, the rest encoders of all types."""
    random = Random(20240229)
    made = [_record(random, number) for number in range(count)]
    chat = next((record for record in made if "file" in record), None)
    if chat is not None:
        chat["default"] = True
    return made


def _record(random: Random, number: int) -> Record:
    kind = random.choices(_TYPES, _SHARES)[0] if number else "chat"
    organization = random.choices(ORGANIZATIONS, cum_weights=_zipf(len(ORGANIZATIONS)))[0]
    name = f"{random.choice(_SUBJECTS).title()}-Model-{number:05d}"
    parameters = f"{random.randint(1, 999) / 10:g}{random.choice('MB')}"
    record: Record = {
        "id": f"{name.lower()}-v{random.randint(1, 9)}",
        "type": kind,
        "name": f"{name} of {organization}",
        "huggingface_id": f"{organization.lower().replace(' ', '-')}/{name}",
        "organization": organization,
        "family": random.choices(FAMILIES, cum_weights=_zipf(len(FAMILIES)))[0],
        "release_date": f"202{random.randint(0, 5)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}",
        "license": random.choices(LICENSES, cum_weights=_zipf(len(LICENSES)))[0],
        "description": _description(random, kind, name, organization, parameters),
    }
    if random.random() < 0.7:
        record["revision"] = _hex(random, 40)
    if random.random() < 0.75:
        weights = _zipf(len(TAGS))
        record["tags"] = sorted(set(random.choices(TAGS, cum_weights=weights, k=random.randint(1, 3))))
    if random.random() < 0.42:
        record["aliases"] = [f"alias-{number:05d}-{letter}" for letter in "abc"[: random.randint(1, 3)]]
    return record | (
        _chat(random, number, parameters) if kind == "chat" else _encoder(random, number, kind, parameters)
    )


def _chat(random: Random, number: int, parameters: str) -> Record:
    heads = random.choice((12, 16, 24, 32, 40, 64))
    return {
        "specs": {
            "parameters": parameters,
            "context_length": random.choice((2048, 4096, 8192, 32768, 131072)),
            "layers": random.randint(12, 80),
            "heads": heads,
            "kv_heads": random.choice((2, 4, 8)),
            "head_dim": 128,
            "hidden_dim": heads * 128,
            "vocab_size": random.choice((32000, 128256, 151936, 262144)),
            "sliding_window": random.choice((None, None, None, 4096)),
        },
        "file": {
            "name": f"model-{number:05d}-q.gguf",
            "sha256": _hex(random, 64),
            "size_bytes": random.randint(10**8, 10**11),
        },
        "quantization": random.choices(QUANTIZATIONS, cum_weights=_zipf(len(QUANTIZATIONS)))[0],
        "base_model": f"base-{number:05d}/Base-{number:05d}",
        "template": random.choice(TEMPLATES),
        "stop_sequences": ["<|im_end|>", "<|endoftext|>"],
        "capabilities": {"languages": None, "modalities": ["text"], "tasks": ["chat", *random.choice(((), ("code",)))]},
    }


def _encoder(random: Random, number: int, kind: str, parameters: str) -> Record:
    vocabulary = random.choice((30522, 50368, 151669, 250002))
    dim = {"sparse": vocabulary, "reranker": None}.get(kind, random.choice(_DIMS))
    late = kind in ("colbert", "multimodal-colbert")
    architecture: Record = {
        "type": random.choice(ARCHITECTURES),
        "variant": f"variant-{number:05d}",
        "has_projection": late,
        "projection_dims": dim if late else None,
    }
    if kind == "dense" and dim and dim >= 256 and random.random() < 0.25:
        architecture["matryoshka_dims"] = [dim // 4, dim // 2, dim]
    record: Record = {
        "architecture": architecture,
        "specs": {
            "parameters": parameters,
            "embedding_dim": dim,
            "hidden_dim": random.choice((384, 768, 1024, 2560)),
            "context_length": random.choice((256, 512, 8192, 32768)),
            "max_position_embeddings": 514,
            "vocab_size": vocabulary,
            "layers": random.randint(4, 36),
            "heads": random.choice((6, 12, 16, 32)),
            "intermediate_dim": random.choice((1536, 3072, 4096)),
        },
        "capabilities": {
            "languages": _languages(random),
            "modalities": ["text", "image"] if kind == "multimodal-colbert" else ["text"],
            "multi_vector": late,
            "quantization": random.choice((None, ["fp32"], ["fp32", "fp16"], ["fp32", "fp16", "int8"])),
            "tasks": ["reranking"] if kind == "reranker" else ["embedding", "retrieval"],
        },
        "performance": {
            "beir_avg": random.choice((None, round(random.uniform(0.3, 0.65), 4))),
            "ms_marco_mrr10": None,
        },
    }
    if kind != "reranker":
        record["similarity"] = "maxsim" if late else random.choice(("cosine", "dot"))
    if kind == "dense":
        record |= {"pooling": random.choice(("mean", "cls")), "normalize": random.choice((True, False))}
    if random.random() < 0.6:
        weights = {
            "name": f"model-{number:05d}.safetensors",
            "sha256": _hex(random, 64),
            "size_bytes": random.randint(10**7, 10**10),
        }
        record["files"] = {"tokenizer": f"tokenizer-{number:05d}.json", "weights": {"safetensors": weights}}
    return record


def _languages(random: Random) -> list[str]:
    """Mostly English, sometimes a few, one in five multilingual, as in the shipped encoders."""
    share = random.random()
    if share < 0.65:
        return ["en"]
    if share < 0.8:
        return sorted(set(random.choices(LANGUAGES, cum_weights=_zipf(len(LANGUAGES)), k=random.randint(1, 13))))
    return sorted(random.sample(LANGUAGES, random.randint(50, 94)))


def _description(random: Random, kind: str, name: str, organization: str, parameters: str) -> str:
    text = f"{name}, a {kind} model from {organization}: {parameters} parameters"
    words = random.choices(_SUBJECTS, k=12)
    return f"{text}, made for {' '.join(words)}"[: random.randint(110, 145)]


def _hex(random: Random, digits: int) -> str:
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def _zipf(count: int) -> list[float]:
    """Cumulative weights 1, 1/2, 1/3, ..."""
    if count not in _WEIGHTS:
        _WEIGHTS[count] = list(accumulate(1 / rank for rank in range(1, count + 1)))
    return _WEIGHTS[count]


_WEIGHTS: dict[int, list[float]] = {}
