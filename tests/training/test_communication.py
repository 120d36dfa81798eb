"""The model of messages has the limits that any network has."""

from __future__ import annotations

import pytest

from charnet.errors import ConfigError
from charnet.training.communication import Imagined, Network, Traffic, of_join, of_sum, parse_network

NETWORKS = [Network(latency, bandwidth) for latency in (0.0, 1e-5, 1e-3) for bandwidth in (1e6, 1.25e8, 1e10)]


@pytest.mark.parametrize("network", NETWORKS)
def test_one_process_communicates_for_nothing(network: Network) -> None:
    assert network.seconds(of_sum(1_000_000, 1)) == network.seconds(of_join(1_000_000, 1)) == 0


def test_no_process_sends_twice_its_numbers_to_add_them_whatever_their_number() -> None:
    sent = [of_sum(1000, 1 << power).bytes for power in range(11)]
    assert sent == sorted(sent)
    assert sent[1] == 1000
    assert 1990 < sent[-1] < 2000


@pytest.mark.parametrize("traffic", [of_sum(5000, 3), of_join(70, 9)])
def test_more_latency_and_less_bandwidth_are_never_faster(traffic: Traffic) -> None:
    for network in NETWORKS:
        usual = network.seconds(traffic)
        assert Network(network.latency + 1e-6, network.bandwidth).seconds(traffic) > usual
        assert Network(network.latency, 2 * network.bandwidth).seconds(traffic) < usual


def test_more_processes_wait_for_more_messages() -> None:
    for of in (of_sum, of_join):
        messages = [of(8, count).messages for count in range(1, 9)]
        assert messages == sorted(set(messages))


def test_an_imagined_process_keeps_its_numbers_and_counts_what_it_would_send() -> None:
    torch = pytest.importorskip("torch")
    group, numbers_N = Imagined(4), torch.arange(10.0)
    assert group.sum(numbers_N) is numbers_N
    assert group.join(numbers_N[None]).shape == (4, 10)
    assert group.traffic == of_sum(40, 4) + of_join(40, 4)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("1s,8Mbit", Network(1.0, 1e6)),
        ("20us, 100Gbit/s", Network(20e-6, 12.5e9)),
        ("0.5 ms,1.5 GB", Network(5e-4, 1.5e9)),
        ("0ms,1MB", Network(0.0, 1e6)),
    ],
)
def test_a_network_is_a_latency_and_a_bandwidth(text: str, network: Network) -> None:
    found = parse_network(text)
    assert (found.latency, found.bandwidth) == pytest.approx((network.latency, network.bandwidth))


@pytest.mark.parametrize(
    "text", ["", "1ms", "1Gbit", "1Gbit,1ms", "1,1", "1ms,0Gbit", "-1ms,1Gbit", "1ms,1gb", "1ms,1Gbit,2", "inf,inf"]
)
def test_no_other_words_are_a_network(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--network: .*as in 0\.1ms,1Gbit"):
        parse_network(text)
