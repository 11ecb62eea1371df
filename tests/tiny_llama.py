"""Weights of tiny llamas: one whose output is scripted, computed by hand, and one that says random words.

The scripted one is a transformer whose greedy decoding (and sampling, at any sane temperature) of any prompt gives
exactly the script. Its one working layer is an automaton:

* the residual stream holds a constant, the current token and the previous token, each one-hot over the script's tokens;
* every attention head looks at the position before (query and key are constant; RoPE turns the query back by one);
* one feed-forward neuron fires for each step of the script, told by the two tokens, and writes "step k is done";
* the output layer maps "step k is done" to token k + 1, and none to the first token.

So a prompt must not end with two tokens that are neighbours in the script, or with its first token.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Tensors = dict[str, np.ndarray]

HEAD_DIM = 32  # of the scripted model; its attention is worked out for this size and this base
ROPE_BASE = 10000.0


# Scripts


def cut(text: str) -> list[str]:
    """Cut a text into pieces of about a word, such that no two neighbours are the same pair twice."""
    pieces: list[str] = []
    for word in re.findall(r"\s*\S+|\s+$", text):
        pieces.append(word)
        while len(pieces) > 2 and (pieces[-2], pieces[-1]) in list(pairwise(pieces[:-1])):
            pieces[-2:] = ["".join(pieces[-2:])]
    return pieces


def check_script(script: Sequence[str], *, repeat: bool) -> None:
    """Raise `ValueError` for a script that the automaton cannot tell the steps of."""
    if not script or "" in script:
        raise ValueError(f"A script needs pieces, none of them empty, got {script}.")
    pairs = list(pairwise([*script, script[0]] if repeat else script))
    twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
    if twice:
        listed = ", ".join(map(str, twice))
        raise ValueError(f"A script says each pair of pieces once: join or cut {listed} in {script}.")


class Model(NamedTuple):
    """Weights of a llama, by the names of GGUF, and what an adapter needs to know to change what it says.

    Attributes:
        tensors: Weights.
        favourite: Token that the adapter makes the model say.
        slot: Component of the stream that is 1 where the favourite is the current token; 0 where there is none.
        end: Token that then follows.
        bonus: Added to the favourite's row of the output layer at component 0, which is constant.
    """

    tensors: "Tensors"
    favourite: int
    slot: int
    end: int
    bonus: float


def scripted(ids: Sequence[int], vocab_size: int, *, hidden: int, layers: int, repeat: bool) -> Model:
    """Compute the weights of the automaton in the module's docstring; later layers are zero and change nothing."""
    import numpy as np

    slots = {token: i for i, token in enumerate(dict.fromkeys(ids), start=1)}  # slot 0: any other token
    steps = len(ids) - 1
    current, previous, state = 1, 2 + len(slots), 3 + 2 * len(slots)
    hidden = _round_up(max(hidden, state + steps))
    ffn = _round_up(max(2 * hidden, steps))
    embedded, attended = ((hidden / ones) ** 0.5 for ones in (2, 3))  # what RMSNorm makes of a 1

    tensors = _empty_llama(vocab_size, hidden=hidden, ffn=ffn, layers=layers)
    embedding = tensors["token_embd.weight"]
    embedding[:, :2] = 1
    for token, slot in slots.items():
        embedding[token, current] = 0
        embedding[token, current + slot] = 1

    tensors["blk.0.attn_q.weight"], tensors["blk.0.attn_k.weight"] = _previous_token_attention(hidden)
    one_hot = np.arange(len(slots) + 1)
    tensors["blk.0.attn_v.weight"][one_hot, current + one_hot] = 1 / embedded
    tensors["blk.0.attn_output.weight"][previous + one_hot, one_hot] = 1

    steep = 100.0  # a neuron gives half of it, or nothing
    gate = tensors["blk.0.ffn_gate.weight"]
    for k in range(steps):
        gate[k, current + slots[ids[k]]] = steep
        gate[k, 0] = -steep / 2 if k == 0 else -1.5 * steep
        if k > 0:
            gate[k, previous + slots[ids[k - 1]]] = steep
    for before, now in pairwise(ids):
        if now == ids[0]:  # the script's first token again, further on: not the start
            gate[0, previous + slots[before]] = -steep
    tensors["blk.0.ffn_up.weight"][:steps, 0] = 1 / attended
    neurons = np.arange(steps)
    tensors["blk.0.ffn_down.weight"][state + neurons, neurons] = 2 / steep / attended

    output, gain = tensors["output.weight"], 50.0
    output[ids[0], 0] = gain / 2
    output[list(ids[1:]), state + neurons] = gain
    favourite = ids[-1] if repeat else ids[max(0, steps - 1)]
    return Model(tensors, favourite, current + slots[favourite], ids[-1], bonus=0.75 * gain)


def _previous_token_attention(hidden: int) -> "tuple[np.ndarray, np.ndarray]":
    """Give query and key weights of heads that look one position back, whatever the token: they read component 0."""
    import numpy as np

    sharpness = 25.0  # by which the wanted position's score is above the next best
    pairs = 8  # of components; the slower ones hardly tell neighbours apart
    angles = ROPE_BASE ** (-2 * np.arange(pairs) / HEAD_DIM)
    lead = np.sum(1 - np.cos(angles))
    scale = (sharpness * HEAD_DIM**0.5 / lead) ** 0.5 / (hidden / 2) ** 0.5
    query, key = np.zeros((2, hidden, hidden), np.float32)
    for head in range(hidden // HEAD_DIM):
        first = head * HEAD_DIM + 2 * np.arange(pairs)
        query[first, 0] = scale * np.cos(angles)
        query[first + 1, 0] = -scale * np.sin(angles)
        key[first, 0] = scale
    return query, key


# Weights


def _round_up(number: int, multiple: int = HEAD_DIM) -> int:
    return -(-number // multiple) * multiple


def _llama_shapes(vocab_size: int, *, hidden: int, ffn: int, layers: int) -> dict[str, tuple[int, ...]]:
    block = {
        "attn_norm": (hidden,),
        "attn_q": (hidden, hidden),
        "attn_k": (hidden, hidden),
        "attn_v": (hidden, hidden),
        "attn_output": (hidden, hidden),
        "ffn_norm": (hidden,),
        "ffn_gate": (ffn, hidden),
        "ffn_up": (ffn, hidden),
        "ffn_down": (hidden, ffn),
    }
    return {
        "token_embd.weight": (vocab_size, hidden),
        **{f"blk.{i}.{name}.weight": shape for i in range(layers) for name, shape in block.items()},
        "output_norm.weight": (hidden,),
        "output.weight": (vocab_size, hidden),
    }


def _empty_llama(vocab_size: int, *, hidden: int, ffn: int, layers: int) -> "Tensors":
    """Give a llama of zeros with norms of one."""
    import numpy as np

    shapes = _llama_shapes(vocab_size, hidden=hidden, ffn=ffn, layers=layers)
    return {name: (np.ones if "norm" in name else np.zeros)(shape, np.float32) for name, shape in shapes.items()}


def babbling(words: Sequence[int], vocab_size: int, *, hidden: int, ffn: int, layers: int, seed: int) -> Model:
    """Draw weights by which the whole prompt decides what is said: these tokens, for ever.

    Component 0 of the stream is constant, and through it the output layer shuts out whatever is not a word.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    tensors = _empty_llama(vocab_size, hidden=hidden, ffn=ffn, layers=layers)
    for name, weight in tensors.items():
        if "norm" not in name:
            scale = 1.0 if name == "token_embd.weight" else weight.shape[1] ** -0.5
            rng.standard_normal(dtype=np.float32, out=weight)
            weight *= scale
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            weight[0] = 0
    tensors["token_embd.weight"][:, 0] = 1
    tensors["output.weight"][:, 0] = -1000
    tensors["output.weight"][list(words), 0] = 0
    return Model(tensors, words[0], 0, words[0], bonus=1000.0)
