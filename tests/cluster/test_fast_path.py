"""What the processes of Ray Serve find in their environment."""

from registry.cluster.fast_path import choose_fast_path


def test_fast_path_leaves_the_proxy_to_serve() -> None:
    chosen: dict[str, str] = {}
    choose_fast_path(chosen)

    assert chosen == {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}


def test_fast_path_with_haproxy_hands_connections_to_the_ingresses() -> None:
    chosen = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
    choose_fast_path(chosen)

    assert chosen == {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


def test_fast_path_leaves_what_is_set_already() -> None:
    chosen = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"}
    choose_fast_path(chosen)

    assert chosen == {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"}
