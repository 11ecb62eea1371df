"""Who has prepared what, and what follows from it: the rule by which all workers move together. No files, no clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.adapters.manifest import AdapterEntry
    from registry.adapters.version import AdapterVersion


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
class Refusal:
    """That a worker cannot serve a version.

    Attributes:
        ref: The version.
        problem: What is wrong with it, and what to do.
        is_final: These bytes can never be used: to try again is no use.
    """

    ref: AdapterRef
    problem: str
    is_final: bool


@dataclass(frozen=True)
class Ballot:
    """What one worker says once it has gone through a manifest.

    Attributes:
        manifest: Which manifest: see `digest_of`.
        wanted: The adapters that it lists, in its order.
        prepared: Those of them that this worker has fetched and proven.
        untried: Those of the prepared that it has not tried with their model, which other workers have.
        refused: Those that it cannot serve.
    """

    manifest: str
    wanted: tuple[AdapterRef, ...]
    prepared: tuple[AdapterRef, ...]
    untried: tuple[AdapterRef, ...] = ()
    refused: tuple[Refusal, ...] = ()


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


def ref_of(adapter: AdapterEntry | AdapterVersion) -> AdapterRef:
    """Give the version that an entry of a manifest, or a file, is."""
    return AdapterRef(adapter.id, adapter.version, adapter.base, adapter.sha256)


def facts_of(adapter: AdapterEntry | AdapterVersion | AdapterRef) -> dict[str, object]:
    """Give what lines of the log say of a version."""
    return {"id": adapter.id, "version": adapter.version, "sha256": adapter.sha256}


def refs_of(entries: Iterable[AdapterEntry]) -> tuple[AdapterRef, ...]:
    """Give the versions that entries of a manifest list."""
    return tuple(map(ref_of, entries))


def digest_of(wanted: Iterable[AdapterRef]) -> str:
    """Give what tells two manifests apart: the adapters that they list. Blanks, and where files lie, are no matter."""
    return hashlib.sha256(json.dumps([asdict(ref) for ref in wanted]).encode()).hexdigest()


def next_decision(
    current: Decision, ballots: Sequence[Ballot | None], unfit: Collection[AdapterRef] = ()
) -> Decision | None:
    """Decide, once every worker has gone through the same manifest.

    An adapter moves to its new version where all have prepared it, and one of them has tried it with its model; where
    one has refused it, all keep the version that they have. Where none has tried it, as no worker has the model now, it
    is served if there is no older version: somebody has to ask for it before the model is loaded. One that is found
    unfit then goes. What the manifest does not list any more goes, too. All of it happens in one decision.

    Args:
        current: What is served now.
        ballots: One for each living worker; `None` for one that is not done yet.
        unfit: Versions that workers which are gone have found unfit.

    Returns:
        What is to be served from now on; `None` while somebody is not done, or where nothing changes.
    """
    given = [ballot for ballot in ballots if ballot is not None]
    if not given or len(given) < len(ballots) or len({(ballot.manifest, ballot.wanted) for ballot in given}) > 1:
        return None
    prepared = frozenset(given[0].prepared).intersection(*(ballot.prepared for ballot in given[1:]))
    tried, bad = tried_in(given), unfit_in(given).union(unfit)
    kept = {ref.id: ref for ref in current.adapters if ref not in bad}
    good = {ref for ref in prepared - bad if ref in tried or ref.id not in kept}
    served = (ref if ref in good else kept.get(ref.id) for ref in given[0].wanted)
    adapters = tuple(ref for ref in served if ref is not None)
    if (given[0].manifest, adapters) == (current.manifest, current.adapters):
        return None
    return Decision(current.number + 1, given[0].manifest, adapters)


def unfit_in(ballots: Iterable[Ballot]) -> frozenset[AdapterRef]:
    """Give the versions that workers have found unfit for ever."""
    return frozenset(refusal.ref for ballot in ballots for refusal in ballot.refused if refusal.is_final)


def tried_in(ballots: Iterable[Ballot]) -> frozenset[AdapterRef]:
    """Give the versions that workers have tried with their models."""
    return frozenset(ref for ballot in ballots for ref in ballot.prepared if ref not in ballot.untried)


def refused_in(ballots: Iterable[Ballot | None]) -> tuple[Refusal, ...]:
    """Give what workers refuse, each version once."""
    given = (ballot for ballot in ballots if ballot is not None)
    return tuple({refusal.ref: refusal for ballot in given for refusal in ballot.refused}.values())


def ballot_from(stated: Mapping[str, Any]) -> Ballot:
    """Make a ballot of what `dataclasses.asdict` made of one, and JSON of that.

    Raises:
        TypeError, KeyError: It is none.
    """
    refused = (Refusal(AdapterRef(**each["ref"]), each["problem"], each["is_final"]) for each in stated["refused"])
    wanted, prepared, untried = (_refs(stated[key]) for key in ("wanted", "prepared", "untried"))
    return Ballot(stated["manifest"], wanted, prepared, untried, tuple(refused))


def decision_from(stated: Mapping[str, Any]) -> Decision:
    """Make a decision of what `dataclasses.asdict` made of one, and JSON of that.

    Raises:
        TypeError, KeyError: It is none.
    """
    return Decision(int(stated["number"]), stated["manifest"], _refs(stated["adapters"]))


def _refs(stated: Iterable[Mapping[str, Any]]) -> tuple[AdapterRef, ...]:
    return tuple(AdapterRef(**ref) for ref in stated)
