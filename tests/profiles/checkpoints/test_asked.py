"""What parameters ask of a checkpoint, and what it states itself."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from registry.errors import InvalidOptionError
from registry.profiles.checkpoints.asked import Asked, read_asked, stated_by
from registry.profiles.checkpoints.sampling import Sampling

_TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


def generation_config(**stated: Any) -> Any:
    return SimpleNamespace(**{"do_sample": None} | stated)


def test_read_asked_of_nothing_gives_the_standard_numbers() -> None:
    assert read_asked({}, {}) == Asked(Sampling(0.7, 0.9, 40, 0.0, 1.1, None), 2000, (), None, None)


def test_read_asked_takes_what_is_said_over_what_the_checkpoint_states() -> None:
    stated = {"temperature": 0.6, "top_k": 20, "min_p": 0.1}

    found = read_asked({"temperature": 0.2, "num_predict": 9, "stop": "END", "seed": 4}, stated)

    assert found == Asked(Sampling(0.2, 0.9, 20, 0.1, 1.1, 4), 9, ("END",), None, None)


@pytest.mark.parametrize("stated", [0, -1, -2])
def test_read_asked_without_a_limit_has_none_below_any_context(stated: int) -> None:
    assert read_asked({"num_predict": stated}, {}).max_tokens == sys.maxsize
    assert read_asked({"max_tokens": None}, {}).max_tokens == 2000


def test_read_asked_passes_over_what_says_how_to_load() -> None:
    assert read_asked({"load_in_4bit": True, "max_seq_length": 4096, "device": "cuda"}, {}) == read_asked({}, {})


@pytest.mark.parametrize("choice", ["auto", None])
def test_read_asked_gives_tools_unless_they_are_not_to_be_called(choice: str | None) -> None:
    parameters: dict[str, Any] = {"tools": [_TOOL]} | ({"tool_choice": choice} if choice else {})

    assert read_asked(parameters, {}).tools == [_TOOL]
    assert read_asked(parameters | {"tool_choice": "none"}, {}).tools is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"temprature": 0.2},
            (
                "`temprature`: expected a parameter that the provider `transformers` knows, got 0.2. "
                "Did you mean `temperature`?"
            ),
        ),
        ({"temperature": 3}, "`temperature`: expected a number from 0 to 2, got 3."),
        ({"min_p": 1}, "`min_p`: expected a share of at least 0, below 1, got 1."),
        (
            {"tool_choice": "required"},
            (
                "`tool_choice`: expected auto or none, got 'required'. "
                "A call cannot be forced; say in the system message when to call."
            ),
        ),
        (
            {"response_format": {"type": "json_object"}},
            (
                "`response_format`: expected to be left out, got {'type': 'json_object'}. "
                "transformers cannot hold an answer to a schema: serve the role with `local` or `ollama`."
            ),
        ),
    ],
)
def test_read_asked_refuses_what_it_cannot_do(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        read_asked(parameters, {})

    assert str(caught.value) == message


def test_read_asked_takes_the_format_of_plain_text() -> None:
    assert read_asked({"response_format": {"type": "text"}}, {}) == read_asked({}, {})


def test_read_asked_of_an_unknown_name_without_likeness_lists_what_there_is() -> None:
    with pytest.raises(InvalidOptionError, match=r"Its parameters are allow_unpinned, context_length, device, dtype,"):
        read_asked({"xyzzy": 1}, {})


def test_stated_by_gives_the_sampling_of_a_checkpoint_by_the_names_here() -> None:
    config = generation_config(do_sample=True, temperature=0.6, top_p=0.95, top_k=20, repetition_penalty=1.05)

    assert stated_by(config) == {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repeat_penalty": 1.05}


def test_stated_by_of_a_checkpoint_that_does_not_sample_is_the_likeliest_token() -> None:
    assert stated_by(generation_config(do_sample=False)) == {"temperature": 0.0}


def test_stated_by_of_a_silent_checkpoint_is_nothing() -> None:
    assert stated_by(generation_config()) == {}
