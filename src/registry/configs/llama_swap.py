"""The configuration file of llama-swap, which starts `llama-server` for the model that is asked for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from subprocess import list2cmdline
from typing import Any

from registry.configs.plain import MACRO, checked, prose
from registry.configs.served import Served
from registry.configs.server_options import server_options
from registry.configs.yaml_text import Lines, yaml_text
from registry.errors import InvalidOptionError
from registry.records import ChatModel

IDLE_S = 600
_HEAD = """\
# Made by `registry export --format llama-swap`. Change the records or the profile, and make it anew.
# llama-swap --config FILE
"""
_LOADING_S = 600  # until a model must be ready: a large one is read from a slow disk


def llama_swap_config(models: Sequence[Served], *, program: str = "llama-server", idle_s: int = IDLE_S) -> str:
    """Write a configuration for llama-swap.

    Chat models take turns: asking for one stops another. Encoders are small, run beside them, and stay.

    Args:
        models: The models.
        program: The program that serves them.
        idle_s: Seconds without a request after which a chat model is stopped; 0 for never.

    Raises:
        InvalidOptionError: `idle_s` is no such number.
        UnsupportedModelError: An id, an alias or a path has something that llama-swap would take for something else.
    """
    if type(idle_s) is not int or idle_s < 0:
        raise InvalidOptionError("idle_s", "a whole number of seconds, 0 or more", idle_s)
    chat = [each.record.id for each in models if isinstance(each.record, ChatModel)]
    encoders = [each.record.id for each in models if each.record.id not in chat]
    groups: dict[str, Any] = {}
    if chat:
        groups["chat"] = {"swap": True, "exclusive": False, "members": chat}
    if encoders:
        groups["encoders"] = {"swap": False, "exclusive": False, "persistent": True, "members": encoders}
    document = {
        "healthCheckTimeout": _LOADING_S,
        "models": {each.record.id: _model(each, program, idle_s) for each in models},
        # The older of its two places for groups, which all versions know.
        "groups": groups,
    }
    return _HEAD + yaml_text(document)


def _model(served: Served, program: str, idle_s: int) -> dict[str, Any]:
    record = served.record
    for name in (record.id, *served.aliases):
        checked(name, record.id, "a name", without=(MACRO,))
    entry: dict[str, Any] = {"cmd": _command(served, program), "name": prose(record.name, 128)}
    if record.description:
        entry["description"] = prose(record.description, 1024)
    if served.aliases:
        entry["aliases"] = served.aliases
    return entry | {"ttl": idle_s if isinstance(record, ChatModel) else 0}


def _command(served: Served, program: str) -> Lines:
    model_id = served.record.id
    checked(str(served.path), model_id, "the path", without=(MACRO,))
    first = _word(checked(program, model_id, "the program", without=(MACRO,)))
    lines = [f"{first} --host 127.0.0.1 --port ${{PORT}}", f"--alias {_word(model_id)}"]
    for option, value in server_options(served).items():
        values = value if isinstance(value, tuple) else (value,)
        lines += [f"--{option}" if each is None else f"--{option} {_word(str(each))}" for each in values]
    return Lines("\n".join(lines))


def _word(text: str) -> str:
    """Quote one word of a command, as llama-swap splits commands on this system."""
    return list2cmdline([text]) if os.name == "nt" else shlex.quote(text)
