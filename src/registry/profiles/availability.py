"""Whether providers can be asked: each says so once in a piece of work, however many roles that has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.profiles.protocol import Availability
    from registry.profiles.registered import Providers


class Availabilities:
    """What providers have said of themselves. One that is dead costs its time-out once.

    Args:
        providers: Who may be asked.
    """

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._found: dict[str, Availability] = {}

    def of(self, name: str) -> Availability:
        """Say whether a provider can be asked, as it said when it was first wanted.

        Raises:
            ProviderUnavailableError: There is no provider of this name, or it cannot be made.
            Exception: What a provider of another package raises.
        """
        if name not in self._found:
            self._found[name] = self._providers.get(name).available()
        return self._found[name]
