"""Frozen dataclasses that are cheap to define and read their fields on first touch.

`dataclasses.dataclass` compiles an `__init__`, `__repr__`, `__eq__` and `__hash__` of its own for every class. For
the record classes that is most of what importing a registry would cost, so here these methods are written once and
shared. What comes out is a real frozen dataclass: `fields`, `asdict`, `replace`, pickle and copy work.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError
from dataclasses import dataclass as _stdlib_dataclass

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field
    from typing import Any, Protocol, TypeVar

    T = TypeVar("T")

    class Row(Protocol):
        """Where a record that nobody has looked into yet finds the values of its fields."""

        def value(self, field: str, default: Any) -> Any: ...


def dataclass(*, frozen: bool, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Do what `dataclasses.dataclass` does for frozen classes, without compiling methods."""
    make = _stdlib_dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=kw_only)

    def decorate(cls: type[T]) -> type[T]:
        _mark_frozen(cls.__mro__[1:], False)
        make(cls)
        _mark_frozen(cls.__mro__, frozen)
        inherited = getattr(cls.__base__, "__dataclass_fields__", None)
        for name, field in _fields(cls).items():
            if inherited is None or inherited.get(name) is not field:
                setattr(cls, name, _FirstTouch(name, field.default))
        if inherited is None:
            for name in _SHARED.keys() - vars(cls).keys():
                setattr(cls, name, _SHARED[name])
        return cls

    return decorate


def from_row(cls: type[T], row: Row) -> T:
    """Make a record of `cls` that reads its fields from `row` when they are first touched."""
    record = object.__new__(cls)
    vars(record)["_row"] = row
    return record


class _FirstTouch:
    """Non-data descriptor: takes one field from the record's row; from then on the record's own value hides it."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, record: object | None, owner: type) -> Any:
        if record is None:  # on the class: what `dataclasses` looks up as the default
            if self.default is MISSING:
                raise AttributeError(f"type object {owner.__name__!r} has no attribute {self.name!r}")
            return self.default
        values = vars(record)
        if "_row" not in values:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        # setdefault: two threads that decode one field at the same time get one object.
        return values.setdefault(self.name, values["_row"].value(self.name, self.default))


def _mark_frozen(classes: tuple[type, ...], frozen: bool) -> None:
    """Set what `frozen=True` would; as an argument of `dataclass` it compiles two methods for each class."""
    for cls in classes:
        if "__dataclass_params__" in vars(cls):
            cls.__dataclass_params__.frozen = frozen  # type: ignore[attr-defined]


def _fields(cls: type) -> dict[str, Field[Any]]:
    return cls.__dataclass_fields__  # type: ignore[attr-defined, no-any-return]


def _state(record: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _fields(type(record))}


class _Shared:
    """Methods of every class made here."""

    def __init__(self, /, *args: Any, **values: Any) -> None:
        cls, fields = type(self), _fields(type(self))
        positional = [name for name, field in fields.items() if not field.kw_only]
        if len(args) > len(positional):
            raise TypeError(f"{cls.__name__}() takes {len(positional)} positional arguments, got {len(args)}")
        for name, value in zip(positional, args, strict=False):
            if name in values:
                raise TypeError(f"{cls.__name__}() got multiple values for argument {name!r}")
            values[name] = value
        if unknown := [name for name in values if name not in fields]:
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {unknown[0]!r}")
        given = {name: values.get(name, field.default) for name, field in fields.items()}
        if missing := [name for name, value in given.items() if value is MISSING]:
            raise TypeError(f"{cls.__name__}() is missing the arguments {', '.join(map(repr, missing))}")
        vars(self).update(given)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in _state(self).items())
        return f"{type(self).__qualname__}({shown})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return _state(self) == _state(other)

    def __hash__(self) -> int:
        return hash(tuple(_state(self).values()))

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return _state(self)


_SHARED = {name: method for name, method in vars(_Shared).items() if callable(method)}
