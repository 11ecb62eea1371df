"""`registry chat`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import say
from registry.cli._options import Registry, complete_ids, registry_of
from registry.cli._output import show_json
from registry.errors import UnsupportedModelError
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.loaders import Chat

Sampling = dict[str, Any]


def chat(
    model: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Id or alias. Left out: the default model.", autocompletion=complete_ids),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", metavar="TEXT", help="One message; answer it and end.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="How it shall answer.")] = None,
    temperature: Annotated[float | None, typer.Option(metavar="0-2", help="0 takes the likeliest token.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Longest answer in tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(metavar="0-1", help="Probability mass to sample from.")] = None,
    top_k: Annotated[int | None, typer.Option(metavar="N", help="Likeliest tokens to sample from; 0 is all.")] = None,
    repeat_penalty: Annotated[float | None, typer.Option(metavar="X", help="Above 1: fewer repetitions.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="For the same answer again.")] = None,
    context_length: Annotated[int | None, typer.Option(metavar="N", help="Tokens of context to allocate.")] = None,
    gpu_layers: Annotated[int | None, typer.Option(metavar="N", help="Layers on the GPU; -1 is all.")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads.")] = None,
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Chat template; gguf: the file's own.")] = None,
    adapter: Annotated[str | None, typer.Option(metavar="ID", help="LoRA adapter: an id, or a GGUF file.")] = None,
    path: Annotated[
        Path | None, typer.Option(metavar="FILE", help="GGUF file to load in place of the kept one.")
    ] = None,
    registry: Registry = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document: the answer and its usage.")] = False,
) -> None:
    """Talk to a chat model.

    On a terminal it is a conversation: Ctrl-C stops an answer, Ctrl-D ends, /help lists the commands, a line that ends
    with a backslash goes on, and lines between two of three double quotes are one message. Elsewhere standard input is
    one message, after that of --prompt if both are there, and the answer is printed. Needs the extra `chat`; the model
    must be on this machine.

    Examples:
        registry chat qwen2.5-coder-3b-q4_k_m
        registry chat -p "Why is the sky blue?" --temperature 0
        git diff | registry chat -p "Write a commit message for this:"
    """
    record = _chat_record(model, registry)
    sampling = _stated(
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        top_k=top_k,
        repeat_penalty=repeat_penalty,
        seed=seed,
    )
    options = _stated(
        context_length=context_length, gpu_layers=gpu_layers, threads=threads, template=template, adapter=adapter
    )
    talks = prompt is None and not json and sys.stdin.isatty() and sys.stdout.isatty()
    message = "" if talks else _message(prompt)
    with _loaded(record, path, options) as loaded:
        if talks:
            from registry.cli._conversation import Conversation

            Conversation(loaded, system=system, sampling=sampling).run()
        else:
            _answer(loaded, message, system, sampling, json=json)


def _chat_record(name: str | None, module: str | None) -> ChatModel:
    registry = registry_of(module)
    record = registry.get_default_model() if name is None else registry.lookup_model(name)
    if not isinstance(record, ChatModel):
        raise UnsupportedModelError(record.id, "it does not chat. `registry list --type chat` lists those that do.")
    return record


def _loaded(record: ChatModel, path: Path | None, options: dict[str, Any]) -> Chat:
    from registry.loaders import load

    if sys.stderr.isatty():
        say("", f"Loading {record.name} ...")
    loaded: Chat = load(record, path=path, **options)
    return loaded


def _stated(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _message(prompt: str | None) -> str:
    """Give the one message: what the caller says, and what stands on standard input."""
    piped = "" if sys.stdin.isatty() and prompt is not None else sys.stdin.read()
    message = "\n\n".join(text for text in (prompt or "", piped.strip()) if text)
    if not message:
        raise typer.BadParameter("nothing to answer: say it with `--prompt`, or on standard input")
    return message


def _answer(chat: Chat, message: str, system: str | None, sampling: Sampling, *, json: bool) -> None:
    from registry.cli._conversation import stream

    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": message})
    if not json:
        stream(chat, messages, sampling)
        return
    started = time.perf_counter()
    reply = chat.reply(messages, **sampling)
    choice = reply["choices"][0]
    show_json(
        {
            "model": chat.model.id,
            "answer": choice["message"]["content"],
            "reasoning": choice["message"].get("reasoning_content"),
            "finish_reason": choice["finish_reason"],
            "usage": reply["usage"],
            "seconds": round(time.perf_counter() - started, 3),
        }
    )
