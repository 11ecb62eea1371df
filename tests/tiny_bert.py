"""The BERT of all tiny encoders: vocabulary and seeded weights, by the names that transformers saves them by."""

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Weights = dict[str, np.ndarray]

_WORDS = (
    "a about after air all an and animal answer are as at be bird blue book bread but by can cat chase city climb "
    "cold cook dark day dog door earth eat find fire fish flower food for fox from garden give good green grow has "
    "have he hello her his house how hungry i if in into is it king large light list little lion live long make man "
    "many mat milk moon mouse music night no not of on one or over people plant queen quick rain red river run sat "
    "say sea see she short sing sky sleep small song star story sun talk tell that the their they this tiger time to "
    "train travel tree two under walk warm was water weather what when where which white who why wind winter with "
    "woman word world write you young"
)
WORDS = tuple(_WORDS.split())
POSITIONS = 512
LAYERS = 2
HEADS = 2
HIDDEN = 32

_LETTERS = string.ascii_lowercase + string.digits
BERT_VOCAB: tuple[str, ...] = (
    "[PAD]",
    *(f"[unused{i}]" for i in range(8)),
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *string.punctuation,
    *_LETTERS,
    *(f"##{letter}" for letter in _LETTERS),
    "##ing",
    "##ed",
    *(word for word in WORDS if len(word) > 1),
)


def bert_weights(*, hidden: int = HIDDEN, vocab_size: int = len(BERT_VOCAB), seed: int = 0) -> "Weights":
    """Give the weights of a BERT under the names that `BertModel` saves them by, without the pooler."""
    import numpy as np

    rng = np.random.default_rng(seed)

    def normal(*shape: int, std: float) -> np.ndarray:
        return (rng.standard_normal(shape) * std).astype(np.float32)

    def norm(name: str) -> "Weights":
        return {f"{name}.weight": np.ones(hidden, np.float32), f"{name}.bias": np.zeros(hidden, np.float32)}

    def layer_of(name: str, out_features: int, in_features: int) -> "Weights":
        return {
            f"{name}.weight": normal(out_features, in_features, std=0.5 / in_features**0.5),
            f"{name}.bias": normal(out_features, std=0.02),
        }

    weights = {
        "embeddings.word_embeddings.weight": normal(vocab_size, hidden, std=1.0),
        "embeddings.position_embeddings.weight": normal(POSITIONS, hidden, std=0.1),
        "embeddings.token_type_embeddings.weight": normal(2, hidden, std=0.1),
        **norm("embeddings.LayerNorm"),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name in ("query", "key", "value"):
            weights |= layer_of(f"{layer}.attention.self.{name}", hidden, hidden)
        weights |= layer_of(f"{layer}.attention.output.dense", hidden, hidden)
        weights |= norm(f"{layer}.attention.output.LayerNorm")
        weights |= layer_of(f"{layer}.intermediate.dense", 2 * hidden, hidden)
        weights |= layer_of(f"{layer}.output.dense", hidden, 2 * hidden)
        weights |= norm(f"{layer}.output.LayerNorm")
    return weights


def pooler(seed: int, hidden: int) -> "Weights":
    """Give the weights of the pooler, which few models read and most checkpoints have."""
    import numpy as np

    return {
        "pooler.dense.weight": linear(seed + 1, hidden, hidden),
        "pooler.dense.bias": np.zeros(hidden, np.float32),
    }


def linear(seed: int, out_features: int, in_features: int) -> "np.ndarray":
    """Give the weight of a linear layer."""
    import numpy as np

    weight: np.ndarray = np.random.default_rng(seed).standard_normal((out_features, in_features), dtype=np.float32)
    weight /= in_features**0.5
    return weight
