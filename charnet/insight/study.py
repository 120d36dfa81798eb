"""Everything that is seen in a model on a text, as one value: for the page, the terminal and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, CorpusError, plural, symbol_noun
from charnet.insight import excerpt, expectation, gates, gradients, memory, passages, properties, trace, units
from charnet.insight.excerpt import Excerpt
from charnet.insight.expectation import Surprise
from charnet.insight.gates import LayerGates
from charnet.insight.gradients import GradientReach
from charnet.insight.memory import ContextCurve
from charnet.insight.units import Follower, Unit
from charnet.model.cells import CELLS
from charnet.model.network import CharModel
from charnet.storage.checkpoint import Checkpoint

LOOKED_AT, EXCERPT = 16_000, 3000  # characters
LARGEST_RECORD = 1 << 28  # bytes of states in memory
FEWEST = 300  # characters of a text
BEST_OF_EACH = 2  # units of each property that are shown
MOST_VALUES = 600_000  # of units in an excerpt, which decides how many units are shown


@dataclass(frozen=True)
class Study:
    """What was seen.

    Attributes:
        name: of the model.
        characters: how many were looked at; `nats_per_char` is the mean loss there.
        followers: by property the units that follow it, the strongest first.
        memory, reach: None where the text is too short for them; `notes` say so.
    """

    name: str
    checkpoint: Checkpoint
    text: str
    characters: int
    nats_per_char: float
    followers: dict[str, list[Follower]]
    gates: list[LayerGates]
    memory: ContextCurve | None
    reach: GradientReach | None
    worst: list[Surprise] = field(default_factory=list)
    excerpt: Excerpt | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def vocab(self) -> Vocabulary:
        return self.checkpoint.vocab

    @property
    def symbol(self) -> str:
        """What the model reads one by one: characters, or bytes."""
        return symbol_noun(self.vocab.of_bytes)

    def layer_name(self, place: trace.Place) -> str:
        """Returns the name of a layer before a sentence; "" where there is only one."""
        model = self.checkpoint.config.model
        network = f"network {place.network + 1}, " if model.members > 1 else ""
        return f"{network}layer {place.layer + 1}: " if model.num_layers > 1 or network else ""

    def unit_name(self, unit: Unit) -> str:
        model = self.checkpoint.config.model
        return unit.name(model.members, model.num_layers)

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers, ready for JSON."""
        model = self.checkpoint.config.model
        shown = expectation.shown
        found: dict[str, Any] = {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "model": {"cell": model.cell, "activation": model.activation, "layers": model.num_layers,
                      "units": model.hidden_size, "members": model.members, "ngram": model.ngram,
                      "window": self.checkpoint.config.training.window},
            "text": self.text,
            "characters": self.characters,
            "nats_per_char": self.nats_per_char,
            "followers": {name: [each.as_dict() for each in best] for name, best in self.followers.items()},
            "memory": self.memory.as_dict() if self.memory else None,
            "gradient": self.reach.as_dict() if self.reach else None,
            "gates": [each.as_dict() for each in self.gates],
            "worst": [
                {"at": each.at, "before": "".join(shown(self.vocab, each.before, more="")), "nats": each.expected.nats,
                 "character": shown(self.vocab, [each.expected.id])[0],
                 "likely": [[shown(self.vocab, [i])[0], p] for i, p in each.expected.likely]}
                for each in self.worst
            ],
            "notes": self.notes,
        }  # fmt: skip
        if self.excerpt is not None:
            found["excerpt"] = {
                "text": "".join(shown(self.vocab, [each.id for each in self.excerpt.expected], more="")),
                "nats": [round(each.nats, 4) for each in self.excerpt.expected],
            }
        return found


def study(
    checkpoint: Checkpoint,
    text: Part,
    *,
    name: str,
    text_name: str,
    patterns: Sequence[str] = (),
    chosen: Sequence[str] = (),
    is_whole: bool = True,
) -> Study:
    """Looks into a model while it reads a text.

    Args:
        patterns: regular expressions; which units follow "inside a match"?
        chosen: units to show besides those that follow a property, as `UNIT`, `LAYER.UNIT` or `NETWORK.LAYER.UNIT`.
        is_whole: also what is shown of single characters; else only what is compared between models.

    Raises:
        ConfigError: a pattern or a unit is not one.
        CorpusError: the text has fewer than 300 characters.
    """
    compiled = properties.compile_patterns([*dict.fromkeys(patterns)])
    wanted = [_unit(checkpoint, each) for each in chosen]
    if len(text) < FEWEST:
        found = plural(len(text), "character")
        raise CorpusError(f"{text_name}: {found}, too few to look into a model: give {FEWEST}")
    networks, start_id, notes = trace.networks_of(checkpoint), checkpoint.vocab.start_id(), list[str]()
    looked_at = passages.spread(text, _characters(checkpoint))
    states, of_gates = units.StateRecord(looked_at.counted), gates.GateRecord(looked_at.counted)

    records = (of_gates, states) if is_whole else (of_gates,)
    seen = trace.observe(networks, looked_at, start_id, lambda *each: [record.watch(*each) for record in records])
    nats_N = expectation.with_ngram(seen, looked_at, checkpoint.ngram, start_id)
    common: dict[str, Any] = {
        "name": name, "checkpoint": checkpoint, "text": text_name, "characters": looked_at.characters,
        "nats_per_char": float(nats_N.mean()), "gates": of_gates.layers(), "notes": notes,
        "memory": _memory(networks, text, notes), "reach": _reach(networks, text, notes),
    }  # fmt: skip
    if not is_whole:
        return Study(followers={}, **common)
    described = properties.of_passages(looked_at, checkpoint.vocab, compiled)
    follow = units.followers(states, described)
    notes += [
        f"{each.name}: {int(each.values_N.sum()):,} of {looked_at.characters:,} places, too few or too many to tell"
        for each in described[len(described) - len(compiled) :]
        if each.name not in follow
    ]
    if expectation.has_seams(text):
        behind = plural(expectation.BEHIND_A_SEAM, "character")
        notes.append(
            f"the greatest surprises leave out the first {behind} of each file's end: another file is before them"
        )
    shown = passages.first(text, EXCERPT)
    cell = CELLS[checkpoint.config.model.cell]
    values = shown.characters * len((*cell.state_names, *cell.gates))
    best = [each.unit for of_one in follow.values() for each in of_one[:BEST_OF_EACH]]
    picked = list(dict.fromkeys([*wanted, *best]))[: max(len(wanted), MOST_VALUES // max(1, values))]
    return Study(
        followers=follow,
        worst=expectation.worst(networks, checkpoint.ngram, text, looked_at, seen, nats_N, start_id),
        excerpt=excerpt.read_excerpt(networks, checkpoint.ngram, shown, start_id, picked),
        **common,
    )


def _characters(checkpoint: Checkpoint) -> int:
    """Returns how many characters are looked at: fewer if their states would fill the memory."""
    model = checkpoint.config.model
    states = len(CELLS[model.cell].state_names)
    return min(LOOKED_AT, LARGEST_RECORD // (4 * states * model.hidden_size * model.num_layers * model.members))


def _memory(networks: Sequence[CharModel], text: Part, notes: list[str]) -> ContextCurve | None:
    try:
        return memory.context_losses(networks, text)
    except CorpusError as error:
        notes.append(str(error))
        return None


def _reach(networks: Sequence[CharModel], text: Part, notes: list[str]) -> GradientReach | None:
    try:
        return gradients.gradient_reach(networks, text)
    except CorpusError as error:
        notes.append(str(error))
        return None


def _unit(checkpoint: Checkpoint, given: str) -> Unit:
    """Returns the unit that a user means: layers and networks are counted from 1, units from 0."""
    model = checkpoint.config.model
    parts = given.split(".")
    if not (len(parts) <= 3 and all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts)):
        raise ConfigError(f"--unit: expected a number such as 231, or LAYER.UNIT such as 2.231, found {given[:40]!r}")
    network, layer, number = [1] * (3 - len(parts)) + [int(part) for part in parts]
    if not (1 <= network <= model.members and 1 <= layer <= model.num_layers and number < model.hidden_size):
        raise ConfigError(
            f"--unit {given}: there is no such unit: the model has units 0 to {model.hidden_size - 1} in "
            f"{plural(model.num_layers, 'layer')} of {plural(model.members, 'network')}"
        )
    return Unit(trace.Place(network - 1, layer - 1), number)
