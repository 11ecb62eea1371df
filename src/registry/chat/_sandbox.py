"""Jinja2, as far as templates of strangers may use it. The only module that imports it; imported when one is used."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, Template, ext, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_STEPS: Final = 1_000_000  # turns of loops in loops, and calls of macros, in one rendering
MAX_PRODUCT: Final = 1_000_000  # items that one multiplication may make
MAX_BITS: Final = 10_000  # of a product of two numbers


class RefusedError(TemplateError):
    """What `raise_exception` of a template raises."""


class _Steps(ext.Extension):
    """Reads `{% generation %}`, and counts the turns of loops in loops and the calls of macros."""

    tags = {"generation"}  # noqa: RUF012 - declared by the class it inherits from
    left = threading.local()

    def parse(self, parser: Parser) -> nodes.Node:
        """Take what the tag marks, which is what a model learns from, as if the tag were not there."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    @property
    def step(self) -> None:
        """Count one step. A property, because a call in the sandbox takes longer than most turns of loops."""
        self.left.steps -= 1
        if self.left.steps < 0:
            raise SecurityError(f"expected at most {MAX_STEPS} steps, got more")


# Methods of strings, and filters, that make a text as long as a number says.
_FILLING = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
_FILLING_FILTERS = ("center", "format", "indent")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's own sandbox, with a limit to what one operation can make."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute, unless the result is huge."""
        huge = isinstance(left, str | bytes) if operator == "%" else operator == "**" or _is_huge(left, right)
        if huge:
            raise SecurityError(f"the result of `{operator}` may be too large")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse also what fills texts up to any width."""
        return not (isinstance(obj, str) and attr in _FILLING) and super().is_safe_attribute(obj, attr, value)


def _is_huge(left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length() > MAX_BITS
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(times, int):
            return len(sequence) * times > MAX_PRODUCT
    return False


class _Slots(Namespace):
    """A namespace that does not take the names which Python itself asks objects for."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        for name in dict(*args[1:], **kwargs):  # a template may set a slot named `self`, so there is no such parameter
            _check_slot(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_slot(name)
        super().__setitem__(name, value)


def _check_slot(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot have a slot named {name!r}")


def _raise(message: object) -> None:
    raise RefusedError(str(message))


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers does it: nothing is escaped for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment() -> Environment:
    made = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Steps, ext.loopcontrols])
    made.filters["tojson"] = _to_json
    for name in _FILLING_FILTERS:
        del made.filters[name]
    made.globals.pop("lipsum")
    made.globals.update(raise_exception=_raise, strftime_now=_now, namespace=_Slots)
    return made


_ENVIRONMENT: Final = _environment()


def compile_template(source: str) -> tuple[Template, frozenset[str]]:
    """Give the compiled template, and the names of the variables that it looks at."""
    tree = _ENVIRONMENT.parse(source)
    variables = frozenset(meta.find_undeclared_variables(tree))
    for node in _repeated(tree):
        step = nodes.ExtensionAttribute(_Steps.identifier, "step")
        node.body.insert(0, nodes.ExprStmt(step).set_lineno(node.lineno))
    tree.set_environment(_ENVIRONMENT)
    return _ENVIRONMENT.from_string(tree), variables


def _repeated(tree: nodes.Template) -> list[nodes.For | nodes.Macro]:
    """Find what can run more often than there are items in what a template is given, or in one `range`."""
    macros, loops = list(tree.find_all(nodes.Macro)), list(tree.find_all(nodes.For))
    inner = {id(loop) for outer in (*macros, *loops) for loop in outer.find_all(nodes.For)}
    return [*macros, *(loop for loop in loops if loop.recursive or id(loop) in inner)]


def render_template(template: Template, variables: dict[str, Any]) -> str:
    """Give what a template makes of its variables."""
    _Steps.left.steps = MAX_STEPS
    return template.render(variables)


def line_of(error: BaseException) -> int | None:
    """Give the line of the template in which an error arose."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
