"""Where files may be fetched from: the hub, a mirror, a folder, and the address of each file there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from registry._settings import stated_in, text, words
from registry.errors import InvalidOptionError, InvalidSettingError
from registry.hub.connections import origin
from registry.hub.refusals import masked
from registry.hub.web import SCHEMES

if TYPE_CHECKING:
    from registry.hub.needed import Wanted
    from registry.records import LoraAdapter, ModelInfo

Kind: TypeAlias = Literal["hub", "endpoint", "folder", "template"]

HUB = "https://huggingface.co"
_FIELDS = ("repo", "org", "name", "revision", "file", "id", "sha256")
_EXPECTED = (
    "`hub`, an address such as `https://mirror.example`, a folder such as `/models`, or an address with "
    + ", ".join(f"{{{field}}}" for field in _FIELDS)
    + " in it"
)


@dataclass(frozen=True)
class Source:
    """Somewhere that files can be fetched from.

    Attributes:
        kind: `hub`: where the record says, its file's own address and the hub; `endpoint`: a mirror with the hub's API;
            `folder`: on this machine or a mounted one; `template`: addresses made by a pattern.
        where: The address, path or pattern; empty for the hub.
    """

    kind: Kind
    where: str = ""


@dataclass(frozen=True)
class Address:
    """Where one file may be.

    Attributes:
        url: `https:`, `http:` or `file:`. User and password may be in it: it is shown by `refusals.bare` only.
        may_see_token: True where the token of the hub may be sent: to its own scheme, host and port.
    """

    url: str
    may_see_token: bool = False


def parse_source(text: str) -> Source:
    """Read a source as users write it.

    `hub`; `https://mirror.example`, a mirror with the hub's API; `/a/folder`, `~/folder` or `file:///a/folder`; or a
    pattern for a mirror that has no API, `https://mirror.example/{repo}/{revision}/{file}`, whose fields are `repo`
    (`org/name`), `org`, `name`, `revision` (`main` where none is pinned), `file`, `id` and `sha256`.

    Addresses may have a user and a password, `https://user:password@mirror.example`, with signs such as `@` and `/`
    written `%40` and `%2F`.

    Raises:
        InvalidOptionError: It is none of these.
    """
    if text == "hub":
        return Source("hub")
    if "{" in text or "}" in text:
        fields = re.findall(r"\{(\w*)\}", text)
        rest = re.sub(r"\{\w*\}", "", text)
        if "{" in rest or "}" in rest or not set(fields) <= set(_FIELDS) or "://" not in text:
            raise InvalidOptionError("sources", _EXPECTED, masked(text))
        _check_scheme(text)
        return Source("template", text)
    if "://" in text:
        _check_scheme(text)
        if text.startswith("file:"):
            return Source("folder", url2pathname(urlsplit(text).path))
        return Source("endpoint", text.rstrip("/"))
    folder = Path(text).expanduser()
    if not folder.is_absolute():
        remedy = "A folder is written as a whole path, as programs run in different folders."
        raise InvalidOptionError("sources", _EXPECTED, masked(text), remedy)
    return Source("folder", str(folder))


def parse_sources(stated: Sequence[str] | None) -> tuple[Source, ...]:
    """Read what the caller states, else the setting `sources`, else the hub.

    Raises:
        InvalidOptionError: One that the caller states is none.
        InvalidSettingError: One of the setting is none.
    """
    if stated is not None:
        return tuple(map(parse_source, [stated] if isinstance(stated, str) else stated))
    try:
        return tuple(map(parse_source, words("sources") or ("hub",)))
    except InvalidOptionError as error:
        raise InvalidSettingError("sources", stated_in("sources"), error.expected, error.got) from error


def hub_endpoint(stated: str | None = None) -> str:
    """Give the address of the hub: what the caller states, else the setting `hf_endpoint`, else Hugging Face's.

    Raises:
        InvalidOptionError: What the caller states is no address.
        InvalidSettingError: The setting is none.
    """
    found = (stated or text("hf_endpoint") or HUB).rstrip("/")
    expected = "an address such as `https://huggingface.co`"
    scheme, host = _scheme_and_host(found)
    if scheme not in ("http", "https") or not host:
        if stated:
            raise InvalidOptionError("endpoint", expected, masked(stated))
        raise InvalidSettingError("hf_endpoint", stated_in("hf_endpoint"), expected, masked(found))
    return found


def addresses(
    model: ModelInfo | LoraAdapter,
    wanted: Wanted,
    *,
    sources: Sequence[str] | None = None,
    endpoint: str | None = None,
    revision: str | None = None,
) -> tuple[Address, ...]:
    """Give where a file may be, in the order in which to try. Looks into folders; uses no network.

    Args:
        model: The record.
        wanted: The file.
        sources: Stated by the caller; else the setting `sources`, else the hub.
        endpoint: Address of the hub; else the setting `hf_endpoint`, else Hugging Face's.
        revision: Commit that the file's digest was listed at; else the record's revision, else `main`.

    Returns:
        None twice; empty where no source can have the file.

    Raises:
        InvalidOptionError: A source, or the endpoint, is none.
        InvalidSettingError: The same of a setting.
    """
    hub = hub_endpoint(endpoint)
    at = revision or model.revision or "main"
    urls = [url for source in parse_sources(sources) for url in _urls(source, model, wanted, hub, at)]
    return tuple(Address(url, _may_see_token(url, hub)) for url in dict.fromkeys(urls))


def _may_see_token(url: str, hub: str) -> bool:
    return origin(url) == origin(hub)


def _urls(source: Source, model: ModelInfo | LoraAdapter, wanted: Wanted, hub: str, revision: str) -> Iterator[str]:
    """Give the addresses of a file in one source."""
    repository = model.huggingface_id
    if source.kind == "hub" and wanted.url is not None:
        _check_scheme(wanted.url, "url")
        yield wanted.url
    if source.kind in ("hub", "endpoint") and repository is not None:
        base = source.where or hub
        yield f"{base}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(wanted.name)}"
    elif source.kind == "folder":
        yield _in_folder(Path(source.where), model, wanted, revision).as_uri()
    elif source.kind == "template" and (url := _filled(source.where, model, wanted, revision)) is not None:
        yield url


def folder_layouts(folder: Path, model: ModelInfo | LoraAdapter, revision: str) -> tuple[Path, ...]:
    """Give the folders in which the files of a model may lie below a source, the most exact first.

    `<org>/<name>/<revision>`, `<org>/<name>`, a Hugging Face cache's, `<id>`, and the source itself.
    """
    repository = model.huggingface_id
    by_id = (folder / model.id, folder)
    if repository is None:
        return by_id
    cache = folder / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    return (folder / repository / revision, folder / repository, cache, *by_id)


def _in_folder(folder: Path, model: ModelInfo | LoraAdapter, wanted: Wanted, revision: str) -> Path:
    """Give the first place of a file that there is; where there is none, the one that it should have, for the error."""
    places = [layout / wanted.name for layout in folder_layouts(folder, model, revision)]
    if wanted.name.endswith(".gguf"):
        places.append(folder / f"{model.id}.gguf")
    return next((place for place in places if place.is_file()), places[0]).absolute()


def _filled(pattern: str, model: ModelInfo | LoraAdapter, wanted: Wanted, revision: str) -> str | None:
    """Fill in a pattern; `None` where it asks for what is not known of the file."""
    org, _, name = (model.huggingface_id or "").rpartition("/")
    values = {
        "repo": model.huggingface_id,
        "org": org or None,
        "name": name or None,
        "revision": revision,
        "file": wanted.name,
        "id": model.id,
        "sha256": wanted.sha256,
    }
    if any(values[field] is None for field in re.findall(r"\{(\w+)\}", pattern)):
        return None
    quoted = {
        field: quote(value or "", safe="/" if field in ("repo", "file") else "") for field, value in values.items()
    }
    return re.sub(r"\{(\w+)\}", lambda found: quoted[found[1]], pattern)


def _check_scheme(url: str, option: str = "sources") -> None:
    scheme, host = _scheme_and_host(url)
    if scheme not in SCHEMES or (scheme != "file" and not host):
        begins = ", ".join(f"`{s}:`" for s in SCHEMES)
        raise InvalidOptionError(option, f"an address that begins with {begins}", masked(url))
    if scheme == "file" and (host not in (None, "localhost") or not urlsplit(url).path.startswith("/")):
        remedy = "Three strokes stand before the path; mount the folder of another machine first."
        raise InvalidOptionError(option, "`file:///` and a whole path on this machine", masked(url), remedy)


def _scheme_and_host(url: str) -> tuple[str, str | None]:
    """Give scheme and host; empty where the address cannot be read."""
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        return "", None
    return scheme, host
