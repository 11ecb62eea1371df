"""Who has prepared what, and what follows from it: the rule by which all workers move together. No files, no clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.adapters.manifest import AdapterManifest


@dataclass(frozen=True)
class AdapterRef:
    """One version of an adapter, wherever its file is.

    Attributes:
        id: What requests call it.
        version: Which one it is, for people.
        base: Id of the record of the model that it goes on top of.
        sha256: Digest of the file.
    """

    id: str
    version: str
    base: str
    sha256: str


@dataclass(frozen=True)
class Ballot:
    """What one worker says once it has gone through a manifest.

    Attributes:
        manifest: Which manifest: see `digest_of`.
        wanted: The adapters that it lists, in its order.
        prepared: Those of them that this worker has fetched, proven and tried. The others it has refused.
    """

    manifest: str
    wanted: tuple[AdapterRef, ...]
    prepared: tuple[AdapterRef, ...]


@dataclass(frozen=True)
class Decision:
    """What all workers serve.

    Attributes:
        number: Grows with every decision; 0 before the first.
        manifest: The manifest that it was decided by; empty before the first.
        adapters: The adapters, in the order of the manifest.
    """

    number: int = 0
    manifest: str = ""
    adapters: tuple[AdapterRef, ...] = ()


def refs_of(manifest: AdapterManifest) -> tuple[AdapterRef, ...]:
    """Give the versions that a manifest lists."""
    return tuple(AdapterRef(entry.id, entry.version, entry.base, entry.sha256) for entry in manifest.adapters)


def digest_of(wanted: Iterable[AdapterRef]) -> str:
    """Give what tells two manifests apart: the adapters that they list. Blanks, and where files lie, are no matter."""
    return hashlib.sha256(json.dumps([asdict(ref) for ref in wanted]).encode()).hexdigest()


def next_decision(current: Decision, ballots: Sequence[Ballot | None]) -> Decision | None:
    """Decide, once every worker has gone through the same manifest.

    An adapter moves to its new version where all have prepared it; where one has refused it, all keep the version that
    they have. What the manifest does not list any more goes. All of it happens in one decision.

    Args:
        current: What is served now.
        ballots: One for each living worker; `None` for one that is not done yet.

    Returns:
        What is to be served from now on; `None` while somebody is not done, or where nothing changes.
    """
    given = [ballot for ballot in ballots if ballot is not None]
    if not given or len(given) < len(ballots) or len({(ballot.manifest, ballot.wanted) for ballot in given}) > 1:
        return None
    prepared = frozenset(given[0].prepared).intersection(*(ballot.prepared for ballot in given[1:]))
    kept = {ref.id: ref for ref in current.adapters}
    served = (ref if ref in prepared else kept.get(ref.id) for ref in given[0].wanted)
    adapters = tuple(ref for ref in served if ref is not None)
    if (given[0].manifest, adapters) == (current.manifest, current.adapters):
        return None
    return Decision(current.number + 1, given[0].manifest, adapters)


def ballot_from(stated: Mapping[str, Any]) -> Ballot:
    """Make a ballot of what `dataclasses.asdict` made of one, and JSON of that.

    Raises:
        TypeError, KeyError: It is none.
    """
    return Ballot(stated["manifest"], _refs(stated["wanted"]), _refs(stated["prepared"]))


def decision_from(stated: Mapping[str, Any]) -> Decision:
    """Make a decision of what `dataclasses.asdict` made of one, and JSON of that.

    Raises:
        TypeError, KeyError: It is none.
    """
    return Decision(int(stated["number"]), stated["manifest"], _refs(stated["adapters"]))


def _refs(stated: Iterable[Mapping[str, Any]]) -> tuple[AdapterRef, ...]:
    return tuple(AdapterRef(**ref) for ref in stated)
