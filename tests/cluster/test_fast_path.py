"""What the processes of Ray Serve find in their environment."""

import pytest

from registry.cluster import fast_path
from registry.cluster.fast_path import FAST_PATH, choose_fast_path


def test_fast_path_is_set_with_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "find_spec", lambda _: object())
    chosen: dict[str, str] = {}
    choose_fast_path(chosen)

    ports = {chosen.pop(f"RAY_SERVE_HAPROXY_{name}_PORT") for name in ("STATS", "METRICS")}
    assert chosen == FAST_PATH
    assert len(ports - {"8404", "9101"}) == 2


def test_what_is_set_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "find_spec", lambda _: object())
    chosen = {"RAY_SERVE_ENABLE_HA_PROXY": "0"}
    choose_fast_path(chosen)

    assert chosen["RAY_SERVE_ENABLE_HA_PROXY"] == "0"


def test_proxy_of_serve_is_used_where_there_is_no_haproxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "find_spec", lambda _: None)
    chosen: dict[str, str] = {}
    choose_fast_path(chosen)

    assert chosen == {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
