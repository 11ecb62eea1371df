"""Numbers and names as pages write them: for people, and the same everywhere."""

from __future__ import annotations

_TYPES = {
    "chat": "Chat",
    "dense": "Dense",
    "colbert": "ColBERT",
    "multimodal-colbert": "Multimodal ColBERT",
    "sparse": "Sparse",
    "reranker": "Reranker",
}


_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def type_text(model_type: str | None) -> str | None:
    """Write a type of model: `multimodal-colbert` is Multimodal ColBERT. Types that are not known stay as they are."""
    return None if model_type is None else _TYPES.get(model_type, model_type)


def size_text(size_bytes: int) -> str:
    """Write a size with three digits that count: `256 MB`, `5.44 GB`, `10.3 GB`."""
    unit, name = next((unit for unit in _UNITS if size_bytes >= unit[0] * 0.9995), (1, "bytes"))
    return f"{size_bytes / unit:.3g} {name}" if size_bytes < 999.5 * unit else f"{size_bytes / unit:,.0f} {name}"


def count_text(number: float) -> str:
    """Write a count: `32,768`; what is no whole number with the digits it has."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,}"


def parameters_text(billions: float) -> str:
    """Write a parameter count given in billions: `7.6B`, `110M`, `22.7M`."""
    for unit, name in ((1000.0, "T"), (1.0, "B"), (1e-3, "M"), (1e-6, "K")):
        if billions >= unit * 0.9995:
            return f"{billions / unit:.3g}{name}"
    return f"{billions * 1e9:.0f}"


def moment_text(moment: str) -> str:
    """Write a moment of the store, in UTC, to the minute: `2026-11-21 09:15`."""
    return moment[:16].replace("T", " ")


def license_text(license: str) -> str:
    """Write a licence: a vendor's own without the prefix that SPDX wants."""
    return license.replace("LicenseRef-", "")
