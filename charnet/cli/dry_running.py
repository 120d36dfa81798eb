"""`charnet train --dry-run`: says what a training would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from charnet.cli import console
from charnet.cli.tables import format_duration, format_size, held_out_part, show_rows
from charnet.errors import ConfigError, plural
from charnet.training import group

if TYPE_CHECKING:
    from charnet.config import Config
    from charnet.training.dry_run import DryRun


def show(values: Mapping[str, Any], given: Mapping[str, Any], file_values: Mapping[str, Any]) -> int:
    """Shows what a training would do; returns the exit code.

    Args:
        values: the settings that were given, by `section.field`.
        given: the values of all options of `train` by the names of their parameters.
        file_values: the settings of a file.

    Raises:
        ConfigError: an option says something about a training that takes place.
    """
    for name in ("resume", "log", "open_page"):
        if given[name]:
            flag = "--" + name.removesuffix("_page")
            raise ConfigError(f"--dry-run reckons with a new run and writes nothing: leave out {flag}")
    if group.size() > 1:
        raise ConfigError("--dry-run needs no torchrun: start it alone, with --processes N")
    from charnet.training import communication, setup

    network = communication.parse_network(given["network"]) if given["network"] is not None else None
    if not given["quiet"]:
        console.note("reading the text, and measuring how fast this machine trains; nothing is trained or written")
    found = setup.dry_run(
        values,
        file_values=file_values,
        out=given["out"],
        name=given["name"],
        init_from=given["init_from"],
        seconds=given["time"],
        processes=1 if given["processes"] is None else given["processes"],
        network=network,
    )
    if given["json"]:
        console.write_json(as_dict(found))
    else:
        show_rows(rows(found))
        if len(found.shares) > 1:
            console.write("\n" + "\n".join(table(found)) + "\n")
            console.flush()
    return 0


def as_dict(found: DryRun) -> dict[str, Any]:
    """Returns all that was found, for JSON: seconds, bytes and characters."""
    from charnet import overlay

    return {
        **vars(found),
        "config": overlay.as_dict(found.config),
        "corpus": vars(found.corpus),
        "shares": [vars(share) for share in found.shares],
        "network": vars(found.network) if found.network else None,
    }


def rows(found: DryRun) -> list[tuple[str, str]]:
    """Returns labeled lines about the training as a whole."""
    corpus, t, share = found.corpus, found.config.training, found.shares[-1]
    return [
        ("text", f"{corpus.name}: {plural(corpus.characters, 'character')}, {found.alphabet_size:,} different, "
                 f"{format_size(corpus.size_bytes)} in {plural(corpus.files, 'file')}"),
        ("", held_out_part(found.config.data, f"{found.held_out:,}")),
        *(("", note) for note in found.notes),
        ("model", f"{_model(found.config)}, {plural(found.parameters, 'parameter')}"),
        ("training", f"{plural(t.steps, 'step')} of {plural(t.batch_size, 'stream')} x {t.window} characters, "
                     f"{found.passes:.1f} passes over the text, in {t.precision} on {t.device}"),
        ("processes", _processes(found)),
        ("memory", f"about {format_size(share.memory)}{' a process' * (share.processes > 1)}; "
                   f"{format_size(found.free_memory)} are free here"),
        ("disk", f"at most {format_size(found.disk)}"),
        ("time", f"about {format_duration(found.seconds)}: {1000 * share.seconds:,.1f} ms a step, "
                 f"{share.chars_per_second:,.0f} characters a second, and the evaluations"),
    ]  # fmt: skip


def _model(config: Config) -> str:
    m = config.model
    sizes = f"{plural(m.num_layers, 'layer')} of {plural(m.hidden_size, 'unit')}"
    ngram = f", beside an n-gram of order {m.ngram}" if m.ngram else ""
    return f"{m.cell}, {f'{m.members} networks of ' if m.members > 1 else ''}{sizes}{ngram}"


def _processes(found: DryRun) -> str:
    share, network = found.shares[-1], found.network
    threads = plural(share.threads, "thread")
    if network is None:
        return f"one, of {threads}"
    networks = f" of {plural(share.networks, 'network')}" if share.networks < found.config.model.members else ""
    return (
        f"{share.processes:,} of {threads}, each with {plural(share.streams, 'stream')}{networks}; a step sends and "
        f"receives {format_size(share.bytes_sent)} a process, over {1000 * network.latency:.3g} ms and "
        f"{format_size(network.bandwidth)} a second"
    )


def table(found: DryRun) -> list[str]:
    """Returns what more processes bring, a line for each number of them."""
    lines = ["processes  streams each   ms a step  of it sending     chars/s  speedup"]
    for each in found.shares:
        lines.append(
            f"{each.processes:>9,}  {each.streams:>12,}  {1000 * each.seconds:>10,.1f}  "
            f"{1000 * each.seconds_sending:>13,.1f}  {each.chars_per_second:>10,.0f}  {each.speedup:>7.2f}"
        )
    return lines
