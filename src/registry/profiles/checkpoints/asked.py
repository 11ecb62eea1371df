"""What a role's parameters ask of a checkpoint for one answer: checked, and filled up with what it states itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from registry.chat import GenerationParams
from registry.errors import InvalidOptionError
from registry.profiles.checkpoints.parameter_names import SAMPLING, known_to_transformers
from registry.profiles.checkpoints.sampling import Sampling
from registry.profiles.parameters import canonical

if TYPE_CHECKING:
    from registry.chat import Tools


@dataclass(frozen=True)
class Asked:
    """How to make one answer.

    Attributes:
        sampling: How tokens are drawn.
        max_tokens: Longest answer in tokens; without a limit, more than any context has.
        stops: Texts that end it.
        tools: Tools that the model is offered, in OpenAI's shape; `None` where it is offered none.
        template_options: Options of the chat template.
    """

    sampling: Sampling
    max_tokens: int
    stops: tuple[str, ...]
    tools: Tools | None
    template_options: Mapping[str, Any] | None


def read_asked(parameters: Mapping[str, Any], stated: Mapping[str, Any]) -> Asked:
    """Read parameters: what they say, else what the checkpoint states, else the standard numbers.

    Args:
        parameters: Those of the role and the caller.
        stated: Sampling that the checkpoint's `generation_config.json` states, by the names here.

    Raises:
        InvalidOptionError: A name is not known, or a value is none that it can have.
    """
    given = canonical(parameters)
    _refuse_others(given)
    sampled = {name: given.get(name, stated.get(name)) for name in (*SAMPLING, "max_tokens")}
    params = GenerationParams(**{name: value for name, value in sampled.items() if value is not None})
    min_p = given.get("min_p", stated.get("min_p", 0.0))
    if isinstance(min_p, bool) or not isinstance(min_p, int | float) or not 0 <= min_p < 1:
        raise InvalidOptionError("min_p", "a share of at least 0, below 1", min_p)
    return Asked(
        sampling=Sampling(
            params.temperature, params.top_p, params.top_k, float(min_p), params.repeat_penalty, given.get("seed")
        ),
        max_tokens=sys.maxsize if given.get("max_tokens", 0) is None else params.max_tokens,
        stops=tuple(given.get("stop", ())),
        tools=_tools(given),
        template_options=given.get("template_options"),
    )


def stated_by(generation_config: Any) -> dict[str, Any]:
    """Give the sampling that a checkpoint states, by the names here. What is no sampling at all is temperature 0."""
    names = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
    found = {name: getattr(generation_config, name, None) for name in names}
    stated = {name.replace("repetition", "repeat"): value for name, value in found.items() if value is not None}
    return {"temperature": 0.0} if generation_config.do_sample is False and not stated else stated


def _refuse_others(given: Mapping[str, Any]) -> None:
    if given.get("response_format") not in (None, {"type": "text"}):
        remedy = "transformers cannot hold an answer to a schema: serve the role with `local` or `ollama`."
        raise InvalidOptionError("response_format", "to be left out", given["response_format"], remedy)
    known = sorted(known_to_transformers(None))
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            remedy = f"Did you mean `{close[0]}`?" if close else f"Its parameters are {', '.join(known)}."
            raise InvalidOptionError(name, "a parameter that the provider `transformers` knows", given[name], remedy)


def _tools(given: Mapping[str, Any]) -> Tools | None:
    choice = given.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        remedy = "A call cannot be forced; say in the system message when to call."
        raise InvalidOptionError("tool_choice", "auto or none", choice, remedy)
    return given.get("tools") or None if choice == "auto" else None
