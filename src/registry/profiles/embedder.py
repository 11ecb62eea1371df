"""Texts to vectors by role: whoever can serve the role's model, and never another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.errors import ProviderModelError
from registry.loaders.texts import check_texts
from registry.profiles.client import RoleClient
from registry.profiles.failover import Link
from registry.profiles.in_thread import call_in_thread
from registry.profiles.order import chain
from registry.profiles.resolution import Candidate, PassedOver

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from registry.profiles.active import PathLike
    from registry.profiles.answers import ServedBy
    from registry.profiles.events import OnEvent
    from registry.profiles.protocol import Provider, Target, TextKind
    from registry.profiles.registered import Providers
    from registry.queries import ModelRegistry


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors, and who made them.

    Attributes:
        vectors: float32 of shape (texts, dimensions).
        served_by: Who made them.
    """

    vectors: NDArray[Any]
    served_by: ServedBy


class Embedder(RoleClient):
    """Embeds as a role. Any number of threads may call it at the same time.

    It falls back only on other providers of the role's own model: vectors of another one would make an index
    worthless, without any error. Otherwise as `Chat`.

    Args:
        role: The role.
        profile: Name of the profile. Left out: the setting `profile`, else `default`.
        manifest: File with profiles of the user's own. Left out: the setting `manifest`.
        registry: Registry of the records. Left out: that of `providers`, else this package's own.
        providers: Who may be asked. Left out: those that all share who use this registry.
        on_event: Called with what happens, in the thread that does it; what it raises is logged.
        parameters: `dimensions`: size to cut the vectors to, in all calls; and what else the provider takes.

    Raises:
        ProfileNotFoundError: There is no such profile; the error names close matches.
        RoleNotFoundError: The profile has no such role; the error names close matches.
        ManifestError: The manifest cannot be used.
        InvalidOptionError: A parameter means nothing to the model.
        NoProviderError: None of the role's providers exists.

    Example:
        >>> with Embedder() as embedder:  # doctest: +SKIP
        ...     embedder.embed(["How tall is Mount Everest?"], kind="query").vectors.shape
        (1, 384)
    """

    def __init__(
        self,
        role: str = "embedding",
        *,
        profile: str | None = None,
        manifest: PathLike | None = None,
        registry: ModelRegistry[Any] | None = None,
        providers: Providers | None = None,
        on_event: OnEvent | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(
            role,
            profile=profile,
            manifest=manifest,
            registry=registry,
            providers=providers,
            on_event=on_event,
            parameters=parameters,
        )
        self._sizes: dict[Any, int] = {}  # `dimensions` as asked for -> components that the first answer had

    def embed(self, texts: Sequence[str], *, kind: TextKind | None = None, **options: Any) -> Embedded:
        """Turn texts into vectors.

        Args:
            texts: The texts.
            kind: What they are, where the model has a prompt for it.
            options: `dimensions`, over what was said for all calls, where it is not `None`.

        Raises:
            InvalidInputError: `texts` is one text, or one of them is none.
            RegistryError: The role's own choice refuses the request.
            NoProviderError: None of them has answered; the error says why, for each.
            ModelClosedError: This is closed.
        """
        return self._embed(check_texts(texts), kind, self._links_of(options))

    async def aembed(self, texts: Sequence[str], *, kind: TextKind | None = None, **options: Any) -> Embedded:
        """Turn texts into vectors without blocking the event loop. As `embed`."""
        import threading

        checked, links, cancelled = check_texts(texts), self._links_of(options), threading.Event()
        return await call_in_thread(lambda: self._embed(checked, kind, links, cancelled), cancelled)

    def _embed(
        self,
        texts: list[str],
        kind: TextKind | None,
        links: tuple[Link, ...],
        cancelled: threading.Event | None = None,
    ) -> Embedded:
        def ask(provider: Provider, candidate: Candidate) -> NDArray[Any]:
            vectors = provider.embed(candidate.target, texts, candidate.parameters, kind=kind)
            self._check(vectors, len(texts), candidate)
            return vectors

        served = self._failover.serve(links, ask, cancelled)
        self._tell_done(served)
        return Embedded(served.value, served.served_by)

    def _links_of(self, options: Mapping[str, Any]) -> tuple[Link, ...]:
        own = chain(self._role_model, self._profiles.registry, self.providers.names())[0][1]
        return tuple(_without_other_model(link, own) for link in self._links_for(options))

    def _check(self, vectors: NDArray[Any], texts: int, candidate: Candidate) -> None:
        """Refuse what cannot be vectors of this model.

        Raises:
            ProviderModelError: It has another shape than the record says, or than the first answer had.
        """
        if not texts:
            return
        asked = candidate.parameters.get("dimensions")
        stated = asked or getattr(candidate.target.record, "embedding_dim", None)
        size = self._sizes.get(asked) or stated
        if vectors.ndim != 2 or vectors.shape[0] != texts or size not in (None, vectors.shape[1]):
            expected = f"({texts}, {size or 'dimensions'})"
            problem = f"Its vectors are not the model's: expected the shape {expected}, got {vectors.shape}."
            raise ProviderModelError(candidate.provider, candidate.target.name, problem)
        self._sizes.setdefault(asked, vectors.shape[1])


def _without_other_model(link: Link, own: Target) -> Link:
    """Give a link as it is, or as passed over where it is to another model than the role's own."""
    if isinstance(link, PassedOver) or _space(link.target) == _space(own):
        return link
    reason = f"It is another model than `{own.name}`, and vectors of two models cannot be compared."
    remedy = f"Name `{own.name}` at another provider to fall back on."
    return PassedOver(link.provider, link.target.name, reason, remedy)


def _space(target: Target) -> str:
    """Name what makes alike vectors, whoever provides it: a record by its id, or the only name that there is."""
    name = target.record.id if target.record is not None else target.name
    return name.removesuffix(":latest")  # Ollama's own word for a name without a tag
