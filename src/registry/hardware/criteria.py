"""What a caller may ask of a model, and what is said of a model that is not it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

from registry import _settings
from registry.errors import InvalidOptionError

if TYPE_CHECKING:
    from registry.records import ModelInfo


class RejectionKind(StrEnum):
    """Why a model was turned down. Each up to `QUANTIZATION` is also the name of the argument that did it."""

    ROLE = "role"
    TYPE = "type"
    FAMILY = "family"
    TAGS = "tags"
    LANGUAGES = "languages"
    LICENSE = "license"
    CONTEXT_LENGTH = "context_length"
    MIN_PARAMETERS = "min_parameters"
    MAX_PARAMETERS = "max_parameters"
    QUANTIZATION = "quantization"
    DEPRECATED = "deprecated"
    POLICY = "policy"
    UNKNOWN_NEED = "unknown_need"
    MEMORY = "memory"
    NOT_RECOMMENDED = "not_recommended"
    SMALLER = "smaller"


@dataclass(frozen=True)
class Rejection:
    """Why one model was not chosen.

    Attributes:
        model_id: The model.
        kind: The first thing that speaks against it.
        reason: The same as a sentence, with what was expected and what the model has.
        needed_bytes: Memory that it needs, where that was asked and is known.
        available_bytes: Memory that there was for it.
    """

    model_id: str
    kind: RejectionKind
    reason: str
    needed_bytes: int | None = None
    available_bytes: int | None = None

    def __str__(self) -> str:
        return f"`{self.model_id}`: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Give the values as JSON has them."""
        return asdict(self) | {"kind": self.kind.value}


class Role(NamedTuple):
    """What a model must be able to do to play a role: capabilities that it has, and one that it must not have."""

    capabilities: frozenset[str]
    without: frozenset[str] = frozenset()


# Names as in the profiles of models.json. A model for code answers in prose too, and worse than its general sibling.
ROLES = {
    "general": Role(frozenset({"chat"}), frozenset({"code"})),
    "coding": Role(frozenset({"chat", "code"})),
    "reasoning": Role(frozenset({"chat", "reasoning"})),
    "embedding": Role(frozenset({"embedding"})),
    "reranking": Role(frozenset({"reranking"})),
}

Words: TypeAlias = str | Iterable[str]


class Criteria(TypedDict, total=False):
    """What is asked of a model; the keywords of `select` and of `tiers`."""

    role: str | None
    type: str | None
    family: str | None
    tags: Words
    languages: Words
    license: Words | None
    context_length: int | None
    min_parameters: int | str | None
    max_parameters: int | str | None
    quantization: Words | None
    deprecated: bool


class Criterion(NamedTuple):
    """One condition.

    Attributes:
        kind: What is said of those that do not meet it.
        option: What the caller, or the user, gave it by.
        given: The value that was given.
        expected: The same in words.
        values_of: What of a record is compared; the empty tuple where that is not known, which never meets it.
        meets: Whether such values meet it.
    """

    kind: RejectionKind
    option: str
    given: object
    expected: str
    values_of: Callable[[ModelInfo], tuple[Any, ...]]
    meets: Callable[[tuple[Any, ...]], bool]

    def turn_down(self, model: ModelInfo) -> Rejection | None:
        """Say why a model does not meet it; `None` where it does."""
        values = self.values_of(model)
        if self.meets(values):
            return None
        got = ", ".join(map(str, values)) or "nothing that its record states"
        return Rejection(model.id, self.kind, f"`{self.option}`: expected {self.expected}, got {got}.")

    def nothing_left(self, before: Sequence[ModelInfo], earlier: Sequence[Criterion]) -> InvalidOptionError:
        """Make the error for the condition that none of the models met which met those before it."""
        from difflib import get_close_matches

        values = sorted({value for model in before for value in self.values_of(model)})
        conditions = "".join(f", `{criterion.option}={criterion.given!r}`" for criterion in earlier)
        among = (
            f"of the {len(before)} models that match{conditions.replace(',', '', 1)}" if earlier else "of the models"
        )
        if self.kind is RejectionKind.DEPRECATED:
            return InvalidOptionError(self.option, f"True, as every one {among} is deprecated", self.given)
        if not values:
            return InvalidOptionError(self.option, f"what one {among} is known to have", self.given, "Leave it out.")
        if isinstance(values[0], int):
            expected = f"what one {among} has, {values[0]} to {values[-1]}"
            return InvalidOptionError(self.option, expected, self.given)
        shown = ", ".join(values[:_SHOWN]) + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")
        close = get_close_matches(str(self.given), values, n=1)
        remedy = f"Did you mean `{close[0]}`?" if close else ""
        return InvalidOptionError(self.option, f"what one {among} has: {shown}", self.given, remedy)


_SHOWN = 12


def read_criteria(asked: Criteria) -> tuple[Criterion, ...]:
    """Give the conditions, in the order in which they are tried.

    Raises:
        TypeError: There is no such condition.
        InvalidOptionError: A value can be met by no model of any registry.
        InvalidSettingError: The setting `licenses` is no list.
    """
    for name in asked:
        if name not in Criteria.__annotations__:
            from difflib import get_close_matches

            close = get_close_matches(name, Criteria.__annotations__, n=1)
            hint = f"Did you mean `{close[0]}`?" if close else f"There are {', '.join(Criteria.__annotations__)}."
            raise TypeError(f"`{name}` is no condition. {hint}")
    return tuple(_read(asked))


def _read(asked: Criteria) -> Iterator[Criterion]:
    kinds = RejectionKind
    if (role := asked.get("role")) is not None:
        yield _role(role)
    if (type_ := asked.get("type")) is not None:
        yield _any_of(kinds.TYPE, "type", (type_,), lambda model: (model.model_type,))
    if (family := asked.get("family")) is not None:
        yield _any_of(kinds.FAMILY, "family", (family,), lambda model: _known(model.family))
    for option, given in (("tags", asked.get("tags")), ("languages", asked.get("languages"))):
        for word in _words(option, given):
            yield _any_of(kinds(option), option, (word,), attrgetter(option))
    if (licenses := asked.get("license")) is not None:
        yield _any_of(kinds.LICENSE, "license", _alternatives("license", licenses), lambda model: _known(model.license))
    if (quantization := asked.get("quantization")) is not None:
        yield _any_of(kinds.QUANTIZATION, "quantization", _alternatives("quantization", quantization), _quantizations)
    yield from _sizes(asked)
    if not asked.get("deprecated", False):
        yield _CURRENT
    if (allowed := _settings.words("licenses")) is not None:
        option = _settings.stated_in("licenses").strip("`")
        yield _any_of(kinds.POLICY, option, allowed, lambda model: _known(model.license))


def _sizes(asked: Criteria) -> Iterator[Criterion]:
    kinds = RejectionKind
    if (context := asked.get("context_length")) is not None:
        if type(context) is not int or context < 1:
            raise InvalidOptionError("context_length", "an integer of at least 1", context)
        yield _bounded(kinds.CONTEXT_LENGTH, "context_length", context, lambda model: _known(model.context_length))
    for kind in (kinds.MIN_PARAMETERS, kinds.MAX_PARAMETERS):
        if (given := asked.get(kind.value)) is not None:
            bound = _parameters(kind.value, given)
            most = kind is kinds.MAX_PARAMETERS
            yield _bounded(kind, kind.value, bound, lambda model: _known(model.parameter_count), given, most=most)


def _role(name: str) -> Criterion:
    if name not in ROLES:
        raise InvalidOptionError("role", f"one of {', '.join(ROLES)}", name)
    role = ROLES[name]
    lacking = f", without {', '.join(sorted(role.without))}" if role.without else ""
    return Criterion(
        RejectionKind.ROLE,
        "role",
        name,
        f"`{name}` ({', '.join(sorted(role.capabilities))}{lacking})",
        lambda model: model.capabilities,
        lambda values: role.capabilities.issubset(values) and role.without.isdisjoint(values),
    )


def _any_of(
    kind: RejectionKind, option: str, wanted: tuple[str, ...], values_of: Callable[[ModelInfo], tuple[Any, ...]]
) -> Criterion:
    given = wanted[0] if len(wanted) == 1 else wanted
    expected = " or ".join(f"`{word}`" for word in wanted)
    return Criterion(kind, option, given, expected, values_of, lambda values: any(word in values for word in wanted))


def _bounded(
    kind: RejectionKind,
    option: str,
    bound: int,
    values_of: Callable[[ModelInfo], tuple[Any, ...]],
    given: object = None,
    *,
    most: bool = False,
) -> Criterion:
    return Criterion(
        kind,
        option,
        bound if given is None else given,
        f"at {'most' if most else 'least'} {bound}",
        values_of,
        lambda values: any(value <= bound if most else value >= bound for value in values),
    )


_CURRENT = Criterion(
    RejectionKind.DEPRECATED,
    "deprecated",
    False,
    "a record that is not deprecated",
    lambda model: (("a deprecated one" if model.deprecated else "a current one"),),
    lambda values: values == ("a current one",),
)


def _known(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,)


def _quantizations(model: ModelInfo) -> tuple[str, ...]:
    one: str | None = getattr(model, "quantization", None)
    return _known(one) if one is not None else getattr(model, "quantizations", ())


def _words(option: str, given: Words | None) -> tuple[str, ...]:
    """Read one word, or several; a lone string is not a list of letters."""
    words = (given,) if isinstance(given, str) else tuple(given or ())
    if not all(isinstance(word, str) and word for word in words):
        raise InvalidOptionError(option, "a word, or several", given)
    return words


def _alternatives(option: str, given: Words) -> tuple[str, ...]:
    """Read one word, or several of which one will do: none would never do."""
    words = _words(option, given)
    if not words:
        raise InvalidOptionError(option, "a word, or several", given, "Leave it out to allow all.")
    return words


_COUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMBT]?)\s*", re.IGNORECASE)


def _parameters(option: str, given: object) -> int:
    """Read a number of parameters: `7_000_000_000`, or `7B` as publishers write it."""
    match = _COUNT.fullmatch(given) if isinstance(given, str) else None
    if match:
        return round(float(match[1]) * 1000.0 ** " KMBT".index(match[2].upper() or " "))
    if type(given) is not int or given < 0:
        raise InvalidOptionError(option, "a number of parameters, such as `7B`", given)
    return given
