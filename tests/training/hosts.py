"""Two hosts on one machine: network namespaces that a cable joins."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.torchrun import TINY, Torchrun, start

PORT = 29400


class Hosts:
    """Two hosts, 0 and 1, each with a folder for its cache and its runs.

    Attributes:
        folders: of the hosts; they share no file but the program.
    """

    def __init__(self, folder: Path) -> None:
        self.names = [f"charnet-{os.getpid()}-{number}" for number in (0, 1)]
        self.cables = [f"cn{os.getpid()}{side}"[:15] for side in "ab"]
        self.folders = [folder / f"host{number}" for number in (0, 1)]
        for each in self.folders:
            each.mkdir()

    def lay(self) -> None:
        """Makes them."""
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", self.cables[0], "type", "veth", "peer", "name", self.cables[1])
        for number, (name, cable) in enumerate(zip(self.names, self.cables, strict=True)):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "address", "add", f"10.77.0.{number + 1}/24", "dev", cable)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", cable, "up")

    def cut(self) -> None:
        """Lets nothing through from here on, without telling anybody: as a switch that has lost its power."""
        ip("-n", self.names[1], "link", "set", self.cables[1], "down")

    def mend(self) -> None:
        ip("-n", self.names[1], "link", "set", self.cables[1], "up")

    def start(self, number: int, arguments: list[str], *torchrun: str) -> Torchrun:
        """Starts torchrun with one process on a host."""
        meeting = ["--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"10.77.0.1:{PORT}"]
        names = ["--rdzv-id", "hosts", "--local-addr", f"10.77.0.{number + 1}"]
        names += ["--rdzv-conf", f"is_host={int(number == 0)}"]  # torchrun would ask for the address of its host name
        return start(
            ["train", "../text.txt", *TINY, *arguments],
            self.folders[number],
            torchrun=[*(torchrun or ("--nnodes", "2")), *meeting, *names],
            before=["ip", "netns", "exec", self.names[number]],
            environment={
                "CHARNET_CACHE": str(self.folders[number] / "cache"),
                "GLOO_SOCKET_IFNAME": self.cables[number],
            },
        )

    def take_away(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def hosts(folder: Path) -> Iterator[Hosts]:
    """Makes two hosts, or skips the test where the system does not allow it."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need the command ip and the rights of root")
    made = Hosts(folder)
    try:
        try:
            made.lay()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed: {error.stderr.decode()[-80:]}")
        yield made
    finally:
        made.take_away()
