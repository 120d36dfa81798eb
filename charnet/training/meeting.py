"""Lets processes that torchrun has started meet under a name that none of its earlier starts has used.

torchrun keeps one store of keys and values for all its restarts. gloo looks there for the addresses of the others, and
finds those of processes that have ended: it would knock at them until it fails, or wait for the rest of the timeout.

The first process offers a new name. Each of the others takes the offer with a number of its own, and goes on when the
first one has confirmed this number; an offer that an ended process has left is never confirmed.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from charnet import signals

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

OFFER = "charnet/offer"
SECONDS_BETWEEN_LOOKS = 0.02


def store(rank: int, timeout: float) -> Store:
    """Connects to the store that torchrun has made, or has told the first process to make. Waits for nobody."""
    from torch._C._distributed_c10d import TCPStore

    with signals.ending_at_once():
        return TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
            timeout=datetime.timedelta(seconds=timeout),
            wait_for_workers=False,
            multi_tenant=True,
        )


def meet(store: Store, rank: int, size: int, timeout: float) -> str:
    """Returns a name that the processes of this start have in common.

    Args:
        store: that all of them reach.
        timeout: seconds to wait for the others.

    Raises:
        RuntimeError: they have not all come.
    """
    import uuid

    ends_at, number = time.monotonic() + timeout, uuid.uuid4().hex

    def wait(found: Callable[[], str]) -> str:
        while not (name := found()):
            if time.monotonic() > ends_at:
                raise RuntimeError(f"not all of the {size} processes have come within {timeout:g} seconds")
            signals.check()
            time.sleep(SECONDS_BETWEEN_LOOKS)  # not in the store's own wait, which no signal interrupts
        return name

    def confirmed() -> str:
        if not store.check([OFFER]):
            return ""
        name = store.get(OFFER).decode()
        store.set(f"{name}/{rank}", number)
        done = f"{name}/all"
        return name if store.check([done]) and number in json.loads(store.get(done)) else ""

    if rank:
        return wait(confirmed)
    name = f"charnet/{number}"
    store.set(OFFER, name)
    keys = [f"{name}/{other}" for other in range(1, size)]
    wait(lambda: name if store.check(keys) else "")
    store.set(f"{name}/all", json.dumps([store.get(key).decode() for key in keys]))
    return name
