"""Frozen dataclasses that are cheap to define and read their fields on first touch.

`dataclasses.dataclass` compiles methods for every class, and importing `dataclasses` brings `inspect`, `ast` and
`tokenize`: most of what importing a registry would cost. So here the methods are written once and shared, and the
standard library itself makes a class a dataclass when somebody first asks for that: `fields`, `asdict`, `replace`,
subclasses, pickle and copy work as ever.
"""

from __future__ import annotations

from _thread import RLock

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, Protocol, TypeVar

    T = TypeVar("T")
    K = TypeVar("K")
    V = TypeVar("V")

    class _Dict(dict[K, V]):
        """What `FrozenDict` is made of."""

    class Row(Protocol):
        """Where a record that nobody has looked into yet finds the values of its fields."""

        def value(self, field: str, default: Any) -> Any: ...
else:
    # At run time `_Dict[K, V]` is just `dict`: type variables would import `typing`.
    K = V = object
    _Dict = dict


_MISSING = object()  # no default
_LOCK = RLock()
_TWINS: dict[type, type] = {}


def dataclass(*, frozen: bool, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Do what `dataclasses.dataclass` does for frozen classes, without importing `dataclasses` yet."""

    def decorate(cls: type[T]) -> type[T]:
        own = {name: vars(cls).get(name, _MISSING) for name in vars(cls).get("__annotations__", ())}
        inherited = getattr(cls, "_fields", {})
        cls._fields = inherited | {name: (default, kw_only) for name, default in own.items()}  # type: ignore[attr-defined]
        positional = tuple(name for name, (_, keyword) in cls._fields.items() if not keyword)  # type: ignore[attr-defined]
        cls.__match_args__ = positional  # type: ignore[misc, attr-defined]
        for name, default in own.items():
            setattr(cls, name, _FirstTouch(name, default))
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(cls, name, _Standard(name, frozen, kw_only))
        if not inherited:
            cls.__signature__ = _Signature()  # type: ignore[attr-defined]
            for name in _SHARED.keys() - vars(cls).keys():
                setattr(cls, name, _SHARED[name])
        return cls

    return decorate


def from_row(cls: type[T], row: Row, **known: Any) -> T:
    """Make a record of `cls` that reads its fields, but for the known ones, from `row` when they are first touched."""
    record = object.__new__(cls)
    vars(record).update(known, _row=row)
    return record


class FrozenDict(_Dict[K, V]):
    """A dict that cannot be changed: records hold it, so it hashes where its values do.

    A `dict` and not just a mapping, so that `json`, `dataclasses.asdict` and `**` take it as they take any other.
    `copy()` and `|` give dicts that can be changed.
    """

    __slots__ = ()

    # A dict can be changed and so does not hash: type checkers know that.
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[K, V]]]:
        return type(self), (dict(self),)  # pickle would set one item after the other

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__!r} object cannot be changed: change a copy, `dict(...)`")

    if not TYPE_CHECKING:  # which have it from the annotations of records, where it is a Mapping
        __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse


class _FirstTouch:
    """Non-data descriptor: takes one field from the record's row; from then on the record's own value hides it."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, record: object | None, owner: type) -> Any:
        values = {} if record is None else vars(record)
        if "_row" not in values:
            # The class itself, which has the default as an attribute as any dataclass has; or a record that was pickled
            # when its class did not have this field yet.
            if self.default is _MISSING:
                kind = "type object" if record is None else "object"
                raise AttributeError(f"{kind} {owner.__name__!r} has no attribute {self.name!r}")
            return self.default
        # setdefault: two threads that decode one field at the same time get one object.
        return values.setdefault(self.name, values["_row"].value(self.name, self.default))


class _Signature:
    """What `help` and `inspect.signature` show: the fields, not the `*args, **values` of the shared constructor."""

    def __get__(self, record: object | None, owner: type) -> Any:
        from inspect import Parameter, Signature

        parameters = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY if kw_only else Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if default is _MISSING else default,
            )
            for name, (default, kw_only) in _fields(owner).items()
        ]
        return Signature(sorted(parameters, key=lambda parameter: parameter.kind))


class _Standard:
    """What makes a class a dataclass to the standard library, made by it, bases first, on first touch."""

    __slots__ = ("frozen", "kw_only", "name")

    def __init__(self, name: str, frozen: bool, kw_only: bool) -> None:
        self.name = name
        self.frozen = frozen
        self.kw_only = kw_only

    def __get__(self, record: object | None, owner: type) -> Any:
        with _LOCK:
            for cls in reversed(owner.__mro__):
                waiting = vars(cls).get(self.name)
                if isinstance(waiting, _Standard):
                    _complete(cls, waiting.frozen, waiting.kw_only)
        return getattr(owner, self.name)


def _complete(cls: type, frozen: bool, kw_only: bool) -> None:
    """Let the standard library make a twin of a class, and take over what says that it is a dataclass.

    A twin, because the class itself is in use meanwhile and has methods of its own that the library would refuse.
    """
    from dataclasses import dataclass as standard

    own = vars(cls).get("__annotations__", {})
    defaults = {name: default for name in own if (default := cls._fields[name][0]) is not _MISSING}  # type: ignore[attr-defined]
    names = {"__annotations__": own, "__doc__": cls.__doc__, "__module__": cls.__module__, **defaults}
    twin = type(cls.__name__, tuple(_TWINS.get(base, base) for base in cls.__bases__), names)
    _TWINS[cls] = standard(init=False, repr=False, eq=False, match_args=False, frozen=frozen, kw_only=kw_only)(twin)
    for name in ("__dataclass_params__", "__dataclass_fields__"):
        setattr(cls, name, getattr(twin, name))


def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Give the default of every field, and whether it is keyword-only."""
    if "_fields" in vars(cls):
        return cls._fields  # type: ignore[attr-defined, no-any-return]
    from dataclasses import MISSING, fields  # a subclass that somebody else has made

    return {f.name: (_MISSING if f.default is MISSING else f.default, bool(f.kw_only)) for f in fields(cls)}


def _state(record: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _fields(type(record))}


class _Shared:
    """Methods of every class made here."""

    def __init__(self, /, *args: Any, **values: Any) -> None:
        cls, fields = type(self), _fields(type(self))
        positional = [name for name, (_, kw_only) in fields.items() if not kw_only]
        if len(args) > len(positional):
            raise TypeError(f"{cls.__name__}() takes {len(positional)} positional arguments, got {len(args)}")
        for name, value in zip(positional, args, strict=False):
            if name in values:
                raise TypeError(f"{cls.__name__}() got multiple values for argument {name!r}")
            values[name] = value
        if unknown := [name for name in values if name not in fields]:
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {unknown[0]!r}")
        given = {name: values.get(name, default) for name, (default, _) in fields.items()}
        if missing := [name for name, value in given.items() if value is _MISSING]:
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
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __replace__(self, /, **changes: Any) -> Any:
        return type(self)(**(_state(self) | changes))

    def __getstate__(self) -> dict[str, Any]:
        return _state(self)


_SHARED = {name: method for name, method in vars(_Shared).items() if callable(method)}
