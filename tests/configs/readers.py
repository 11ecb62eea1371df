"""How the other programs read what is written for them: as much of each format as is used."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

# --- YAML


def read_yaml(text: str) -> Any:
    """Give a document. Skips the test where there is no parser."""
    return pytest.importorskip("yaml").safe_load(text)


# --- Ollama's Modelfile: https://github.com/ollama/ollama/blob/main/parser/parser.go


def read_modelfile(text: str) -> list[tuple[str, str]]:
    """Give instructions and arguments; parameters as `PARAMETER name`. Raises ValueError where Ollama refuses."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
        elif text[position] == "#":
            position = _end_of_line(text, position)
        else:
            match = re.compile(r"([A-Za-z]+)[ \t]").match(text, position)
            if match is None:
                raise ValueError(f"no instruction: {text[position : position + 20]!r}")
            name, position = match[1].upper(), match.end()
            if name == "PARAMETER":
                match = re.compile(r"([A-Za-z0-9_]+)[ \t]").match(text, position)
                assert match is not None
                name, position = f"PARAMETER {match[1]}", match.end()
            elif name not in {"FROM", "TEMPLATE", "SYSTEM", "LICENSE"}:
                raise ValueError(f"no instruction: {name}")
            value, position = _value(text, position)
            found.append((name, value))
    return found


def _end_of_line(text: str, position: int) -> int:
    match = re.compile(r"[\r\n]").search(text, position)
    return match.end() if match else len(text)


def _value(text: str, position: int) -> tuple[str, int]:
    """A value ends at the first end of a line where what was read is not within quotes."""
    for end in (match.start() for match in re.compile(r"[\r\n]|\Z").finditer(text, position)):
        value = _unquoted(text[position:end].strip())
        if value is not None:
            return "".join(sign for sign in value if sign.isprintable() or sign in "\t\r\n"), end
    raise ValueError("unexpected EOF")


def _unquoted(value: str) -> str | None:
    if value.startswith('"""'):
        return value[3:-3] if len(value) >= 6 and value.endswith('"""') else None
    if value.startswith('"'):
        return value[1:-1] if len(value) >= 2 and value.endswith('"') else None
    return value


# --- llama.cpp's presets: https://github.com/ggml-org/llama.cpp/blob/master/common/preset.cpp


def read_preset(text: str) -> dict[str, dict[str, str]]:
    """Give the keys of each section. Raises ValueError where llama.cpp refuses the file."""
    found: dict[str, dict[str, str]] = {}
    section = found.setdefault("default", {})
    for line in re.split(r"\r\n|\n|\r", text):
        if re.fullmatch(r"[ \t]*([;#].*)?", line):
            continue
        if match := re.fullmatch(r"\[[ \t]*([^\]]+?)[ \t]*\][ \t]*([;#].*)?", line):
            section = found[match[1]] = {}
        elif match := re.fullmatch(r"([a-zA-Z_][a-zA-Z0-9_.-]*)[ \t]*=[ \t]*(.*?)[ \t]*([;#].*)?", line):
            section[match[1]] = match[2]
        else:
            raise ValueError(f"no line of a preset: {line!r}")
    if not found["default"]:
        del found["default"]
    return found


# --- Escapes of llama.cpp's options: `string_process_escapes` of common/common.cpp


def read_escapes(text: str) -> str:
    """Give a text as llama.cpp reads it."""
    known = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}

    def read(match: re.Match[str]) -> bytes:
        return bytes([int(match[1], 16)]) if match[1] else known.get(match[2], match[0]).encode()

    found = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
    parts, end = [], 0
    for match in found.finditer(text):
        parts += [text[end : match.start()].encode(), read(match)]
        end = match.end()
    return b"".join([*parts, text[end:].encode()]).decode()


# --- Go's text/template, as Ollama runs it: https://pkg.go.dev/text/template


class _Node(NamedTuple):
    kind: str
    argument: str = ""
    body: tuple[Any, ...] = ()
    otherwise: tuple[Any, ...] = ()


def run_go_template(text: str, messages: Sequence[Mapping[str, str]]) -> str:
    """Give what Ollama makes of a conversation with a template."""
    parts = re.split(r"\{\{ (.*?) \}\}", text)  # texts and actions in turn
    tokens = iter([("action" if place % 2 else "text", part) for place, part in enumerate(parts)])
    nodes, end = _parse(tokens)
    assert end == ""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    data = {
        "System": system,
        "Messages": [{"Role": message["role"], "Content": message["content"]} for message in messages],
    }
    return _run(nodes, {"$": data})


def _parse(tokens: Iterator[tuple[str, str]]) -> tuple[tuple[_Node, ...], str]:
    nodes: list[_Node] = []
    for kind, text in tokens:
        word, _, rest = text.partition(" ")
        if kind == "text":
            nodes.append(_Node("text", text))
        elif text in ("end", "else"):
            return tuple(nodes), text
        elif word in ("if", "range"):
            body, end = _parse(tokens)
            otherwise, end = _parse(tokens) if end == "else" else ((), end)
            assert end == "end"
            nodes.append(_Node(word, rest, body, otherwise))
        else:
            nodes.append(_Node("action", text))
    return tuple(nodes), ""


def _run(nodes: Sequence[_Node], variables: dict[str, Any]) -> str:
    written = []
    for node in nodes:
        if node.kind == "text":
            written.append(node.argument)
        elif node.kind == "if":
            chosen = node.body if _evaluate(node.argument, variables) else node.otherwise
            written.append(_run(chosen, variables))
        elif node.kind == "range":
            names = re.fullmatch(r"(\$\w+), (\$\w+) := \.(\w+)", node.argument)
            assert names is not None
            for index, each in enumerate(variables["$"][names[3]]):
                variables |= {names[1]: index, names[2]: each}
                written.append(_run(node.body, variables))
        elif match := re.fullmatch(r"(\$\w+) :?= (.+)", node.argument):
            variables[match[1]] = _evaluate(match[2], variables)
        else:
            written.append(str(_evaluate(node.argument, variables)))
    return "".join(written)


def _evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    words = re.findall(r'"[^"]*"|\(|\)|[^\s()]+', expression)
    value, rest = _call(words, variables)
    assert rest == []
    return value


def _call(words: list[str], variables: Mapping[str, Any]) -> tuple[Any, list[str]]:
    functions: Mapping[str, Any] = {
        "eq": lambda a, b: a == b,
        "lt": lambda a, b: a < b,
        "len": len,
        "slice": lambda values, begin: values[begin:],
    }
    if words[0] not in functions:
        return _operand(words, variables)
    function, rest, given = functions[words[0]], words[1:], []
    while rest and rest[0] != ")":
        value, rest = _operand(rest, variables)
        given.append(value)
    return function(*given), rest


def _operand(words: list[str], variables: Mapping[str, Any]) -> tuple[Any, list[str]]:
    word, *rest = words
    if word == "(":
        value, rest = _call(rest, variables)
        assert rest[0] == ")"
        return value, rest[1:]
    if word.startswith('"'):
        return word[1:-1], rest
    if word.startswith("$"):
        name, _, field = word.partition(".")
        return (variables[name][field] if field else variables[name]), rest
    return int(word), rest
