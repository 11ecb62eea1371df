"""How tokens are drawn and become text: exact where it can be, by the numbers where it is chance."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.profiles.checkpoints.sampling import Detokenizer, GumbelNoise, Sampling, processors


def sampling(**changes: Any) -> Sampling:
    plain = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 0}
    return Sampling(**plain | changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"temperature": 0.0, "top_k": 40, "top_p": 0.9}, []),
        ({}, ["GumbelNoise"]),
        ({"temperature": 0.0, "repeat_penalty": 1.1}, ["RepetitionPenaltyLogitsProcessor"]),
        (
            {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1},
            [
                "RepetitionPenaltyLogitsProcessor",
                "TemperatureLogitsWarper",
                "TopKLogitsWarper",
                "TopPLogitsWarper",
                "MinPLogitsWarper",
                "GumbelNoise",
            ],
        ),
    ],
)
def test_processors_are_those_that_change_something_in_their_order(changes: dict[str, Any], names: list[str]) -> None:
    pytest.importorskip("transformers")

    assert [type(made).__name__ for made in processors(sampling(**changes))] == names


def test_gumbel_noise_draws_each_token_as_often_as_softmax_says() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[2.0, 1.0, 0.0, float("-inf")]])
    noise, draws = GumbelNoise(7), 20_000

    drawn = torch.cat([noise(None, logits).argmax(dim=-1) for _ in range(draws)])

    found = torch.bincount(drawn, minlength=4) / draws
    assert torch.allclose(found, logits.softmax(-1)[0], atol=0.01)
    assert found[3] == 0


def test_gumbel_noise_of_one_seed_is_the_same_and_leaves_the_numbers_of_the_process_alone() -> None:
    torch = pytest.importorskip("torch")
    before = torch.random.get_rng_state()

    one, same, other = (GumbelNoise(seed)(None, torch.zeros(1, 8)) for seed in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_gumbel_noise_without_a_seed_is_another_every_time() -> None:
    torch = pytest.importorskip("torch")

    assert not torch.equal(*(GumbelNoise(None)(None, torch.zeros(1, 8)) for _ in range(2)))


def test_gumbel_noise_of_logits_in_half_precision_is_in_full() -> None:
    torch = pytest.importorskip("torch")

    assert GumbelNoise(0)(None, torch.zeros(1, 8, dtype=torch.bfloat16)).dtype == torch.float32


# Text


def utf8(tokens: Sequence[int]) -> str:
    """Decode as tokenizers do whose tokens are bytes."""
    return bytes(tokens).decode("utf-8", "replace")


def spaced(tokens: Sequence[int]) -> str:
    """Decode as SentencePiece does: words with a space in front, but the first."""
    return " ".join(f"w{token}" for token in tokens)


@given(st.text(st.characters(exclude_characters="\ufffd", codec="utf-8")))
def test_detokenizer_gives_in_pieces_what_decoding_gives_at_once(text: str) -> None:
    detokenizer = Detokenizer(utf8)

    pieces = [detokenizer.feed(byte) for byte in text.encode()]

    assert "".join(pieces) == text
    assert detokenizer.finish() == ""


def test_detokenizer_gives_a_character_with_its_last_byte() -> None:
    detokenizer = Detokenizer(utf8)

    assert [detokenizer.feed(byte) for byte in "a€b".encode()] == ["a", "", "", "€", "b"]


def test_detokenizer_keeps_the_spaces_that_a_token_has_by_those_before_it() -> None:
    detokenizer = Detokenizer(spaced)

    assert [detokenizer.feed(token) for token in range(4)] == ["w0", " w1", " w2", " w3"]


def test_finish_gives_half_of_a_character_as_its_stand_in() -> None:
    detokenizer = Detokenizer(utf8)

    assert [detokenizer.feed(byte) for byte in b"a\xe2\x82"] == ["a", "", ""]
    assert detokenizer.finish() == "\ufffd"


def test_detokenizer_does_not_hold_bytes_of_no_character_for_ever() -> None:
    detokenizer = Detokenizer(utf8)

    pieces = [detokenizer.feed(0x80) for _ in range(40)]

    assert "".join(pieces) + detokenizer.finish() == "\ufffd" * 40
    assert any(pieces)


def test_detokenizer_decodes_a_few_tokens_at_a_time_however_long_the_answer_is() -> None:
    longest = 0

    def decode(tokens: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return spaced(tokens)

    detokenizer = Detokenizer(decode)
    for token in range(1000):
        detokenizer.feed(token)

    assert longest == 2
