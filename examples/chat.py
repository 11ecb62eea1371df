"""Chat with a GGUF file: any one on this machine, or a model of the registry whose file is here.

    python examples/chat.py PATH.gguf [--template NAME] [--system TEXT] [--prompt TEXT]
    python examples/chat.py --model ID [PATH.gguf]

It needs the extra `chat`, and uses no network. Without `--prompt` it asks for one message after the other; Ctrl-C stops
an answer, Ctrl-D (Ctrl-Z and Enter on Windows) ends the conversation.
"""

import argparse
import sys
import time
from pathlib import Path

from registry import ChatModel, ModelFile, RegistryError, UnsupportedModelError, lookup_model
from registry.loaders import Chat, ChatCompletionChunk, Stream, load

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def record_of(path: Path) -> ChatModel:
    """Describe a file that is in no registry. It names no template, so the one in the file is used."""
    return ChatModel(
        id=path.stem,
        model_type="chat",
        name=path.stem,
        huggingface_id=f"local/{path.stem}",
        organization="local",
        description="A GGUF file on this machine.",
        file=ModelFile(path.name, "gguf"),
        quantization="unknown",
    )


def chosen(arguments: argparse.Namespace) -> ChatModel:
    if arguments.model is None:
        return record_of(arguments.path)
    record = lookup_model(arguments.model)
    if not isinstance(record, ChatModel):
        raise UnsupportedModelError(record.id, "it does not chat. Choose a chat model.")
    return record


def say(chunks: Stream[ChatCompletionChunk]) -> str:
    """Print an answer as it is made, what the model thinks in dim letters, and give the answer."""
    terminal = sys.stdout.isatty()
    answer, thinking, started = [], False, time.perf_counter()
    with chunks:
        for chunk in chunks:
            delta = chunk["choices"][0]["delta"]
            thought, text = delta.get("reasoning_content", ""), delta.get("content", "")
            if thought and terminal:
                print(f"{DIM}{thought}{PLAIN}", end="", flush=True)
                thinking = True
            if text:
                print("\n\n" * thinking + text, end="", flush=True)
                thinking = False
                answer.append(text)
            if "usage" in chunk:
                seconds, tokens = time.perf_counter() - started, chunk["usage"]["completion_tokens"]
                reason = chunk["choices"][0]["finish_reason"]
                print(flush=True)
                note = f"[{tokens} tokens in {seconds:.1f} s, {tokens / seconds:.1f} tokens/s, ended by {reason}]"
                print(f"{DIM}{note}{PLAIN}" if sys.stderr.isatty() else note, file=sys.stderr)
    return "".join(answer)


def converse(chat: Chat, messages: list[dict[str, object]]) -> None:
    """Ask for messages and answer them until the input ends."""
    print(f"{chat.model.name}, {chat.context_length} tokens of context. Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return
        if not text.strip():
            continue
        messages.append({"role": "user", "content": text})
        try:
            messages.append({"role": "assistant", "content": say(chat.stream(messages))})
        except KeyboardInterrupt:
            print("\n[stopped]", file=sys.stderr)
            messages.pop()
        except RegistryError as error:  # such as a conversation that no longer fits; the next one may be shorter
            report(error)
            messages.pop()


def report(error: RegistryError) -> None:
    remedy = getattr(error, "remedy", "")
    problem = str(error).removesuffix(remedy).strip().replace(":\n  ", ": ").replace("\n  ", ", ")
    print(f"error: {problem}", file=sys.stderr)
    if remedy:
        print(f"hint: {remedy}", file=sys.stderr)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Chat with a GGUF file.")
    parser.add_argument("path", nargs="?", type=Path, help="GGUF file; with --model, its file if it lies elsewhere")
    parser.add_argument("--model", metavar="ID", help="id or alias of a chat model of the registry")
    parser.add_argument("--template", metavar="NAME", help="chat template, instead of the model's own")
    parser.add_argument("--system", metavar="TEXT", help="system message")
    parser.add_argument("--prompt", metavar="TEXT", help="answer this and end")
    parsed = parser.parse_args(arguments)
    if parsed.path is None and parsed.model is None:
        parser.error("expected the path of a GGUF file, or --model ID")
    return parsed


def main(arguments: list[str] | None = None) -> int:
    asked = parse(arguments)
    messages: list[dict[str, object]] = [{"role": "system", "content": asked.system}] if asked.system else []
    try:
        with load(chosen(asked), path=asked.path, template=asked.template) as chat:
            if asked.prompt is None:
                converse(chat, messages)
            else:
                say(chat.stream([*messages, {"role": "user", "content": asked.prompt}]))
    except RegistryError as error:
        report(error)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
