"""JSON schemas to grammars of llama.cpp: one that it cannot read, or follow, would end the process."""

from __future__ import annotations

import ctypes
import json
import math
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeVar

from registry.errors import InvalidOptionError

T = TypeVar("T")

_MOST_REPETITIONS = 2000  # llama.cpp reads a larger maximum as none
_DEEPEST = 1000  # its parser calls itself for each bracket, and a thread may have half a megabyte of stack
_ANY_CHAR = r'char ::= [^"\\] |'
_JSON_CHAR = r'char ::= [^"\\\x7F\x00-\x1F] |'  # JSON has no control characters in strings
_OTHER_RULES = frozenset({"$ref", "oneOf", "anyOf", "const", "enum", "pattern", "format", "prefixItems"})
_LIMITS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
_SILENCE = threading.Lock()


def make_grammar(library: Any, vocabulary: Any, schema: str | None) -> Any:
    """Make the grammar of a JSON schema, or with `None` of any JSON object.

    Args:
        library: `llama_cpp`.
        vocabulary: Vocabulary of the model.
        schema: JSON.

    Raises:
        ValueError: The schema cannot be made into a grammar.
    """
    text = library.llama_grammar.JSON_GBNF if schema is None else _grammar_text(library, schema)
    depths = accumulate((character == "(") - (character == ")") for character in text)
    if text.count("(") > _DEEPEST and max(depths) > _DEEPEST:
        raise ValueError(f"It nests more than {_DEEPEST} deep, or repeats something as often by a pattern")
    sampler, said = _quietly(lambda: library.llama_sampler_init_grammar(vocabulary, text.encode(), b"root"))
    if not sampler:
        raise ValueError(said.partition("\n")[0].removeprefix("parse: ")[:200] or "llama.cpp cannot read its grammar")
    library.llama_sampler_free(sampler)
    return library.LlamaGrammar.from_string(text, verbose=False)


def _grammar_text(library: Any, schema: str) -> str:
    converter = _converter(library)(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    try:
        converter.visit(converter.resolve_refs(json.loads(schema), "schema"), "")
        text: str = converter.format_grammar()
    except Exception as error:  # a program of somebody else, which meets what a caller has written
        raise ValueError(str(error) or type(error).__name__) from error
    return text.replace(_ANY_CHAR, _JSON_CHAR)


@lru_cache(maxsize=1)
def _converter(library: Any) -> Any:
    """Give the library's converter with what it does wrong put right."""

    class Converter(library.llama_grammar.SchemaConverter):  # type: ignore[misc] # imported when needed
        def _format_literal(self, literal: str) -> Any:
            """Write JSON as a literal; the library forgets that a backslash begins an escape there."""
            written = json.dumps(json.loads(literal), ensure_ascii=False)
            return super()._format_literal(written.replace("\\", "\\\\"))

        def visit(self, schema: Mapping[str, Any], name: str) -> Any:
            """Write lengths as repetitions; the library nests a bracket for each character, and none may be deep."""
            kind = schema.get("type")
            least, most = (schema.get(limit) for limit in _LIMITS.get(str(kind), ("", "")))
            if (
                least is most is None
                or not _OTHER_RULES.isdisjoint(schema)
                or (kind == "array" and not schema.get("items"))
            ):
                return super().visit(schema, name)
            rule = f"{name}-" if name in library.llama_grammar.RESERVED_NAMES else name or "root"
            if kind == "string":
                char = self._add_primitive("char", library.llama_grammar.PRIMITIVE_RULES["char"])
                return self._add_rule(rule, rf'"\"" {char}{_times(least or 0, most)} "\"" space')
            item = self.visit(schema["items"], f"{name}-item" if name else "item")
            more = self._add_rule(f"{rule}-more", f'"," space {item}')
            items = self._add_rule(f"{rule}-items", _listed(item, more, least or 0, most))
            return self._add_rule(rule, f'"[" space {items}{"" if least else "?"} "]" space')

    return Converter


def _listed(item: str, more: str, least: int, most: int | None) -> str:
    """Write one item and then more; no item is the caller's affair, but for lists that may have none at all."""
    _times(least, most)
    if most == 0:
        return '""'
    return f"{item} {more}{_times(max(least - 1, 0), None if most is None else most - 1)}"


def _times(least: int, most: int | None) -> str:
    for number in (least, most):
        if number is not None and not (type(number) is int and 0 <= number <= _MOST_REPETITIONS):
            raise ValueError(f"Expected lengths from 0 to {_MOST_REPETITIONS}, got {number!r}")
    if most is not None and least > most:
        raise ValueError(f"Expected a minimum of at most the maximum {most}, got {least}")
    return f"{{{least},{'' if most is None else most}}}"


def _quietly(call: Callable[[], T]) -> tuple[T, str]:
    """Call, and give what was written to the standard error meanwhile: llama.cpp's parser asks nobody."""
    with _SILENCE, tempfile.TemporaryFile() as file:
        try:
            before = os.dup(2)
        except OSError:  # a program without one
            return call(), ""
        os.dup2(file.fileno(), 2)
        try:
            result = call()
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        return result, file.read().decode("utf-8", "replace")


class CheckedSampler:
    """Samples as the library does, and notices where a grammar allows no token."""

    def __init__(self, library: Any, llama: Any, sampler: Any) -> None:
        self._library = library
        self._candidates = llama._candidates
        self._chain = sampler
        self._logits = ctypes.POINTER(ctypes.c_float * llama.n_vocab())

    def sample(self, context: Any, index: int = -1) -> int:
        """Choose the next token.

        Raises:
            InvalidOptionError: There is none to choose from.
        """
        candidates = self._candidates
        candidates.copy_logits(ctypes.cast(context.get_logits_ith(index), self._logits).contents)
        candidates.candidates.selected = -1
        self._library.llama_sampler_apply(self._chain.sampler, ctypes.byref(candidates.candidates))
        chosen = candidates.candidates.data[candidates.candidates.selected]
        if not chosen.logit > -math.inf:
            expected, remedy = "a JSON schema that a text can follow", "Simplify its patterns and constants."
            raise InvalidOptionError("response_format", expected, "one that allows no next token", remedy)
        self._library.llama_sampler_accept(self._chain.sampler, chosen.id)
        return int(chosen.id)
