"""Checks before the first step that the files of a run can be read again, to its last step.

The limits are those of the readers: of `tensorfile` for a checkpoint, of `config_file` for the settings, of `runs` for
the metrics. A checkpoint is checked at its largest, with all that a run can add to its document.
"""

from __future__ import annotations

import dataclasses
import json

from charnet.config import Config, TrainingSettings
from charnet.errors import ConfigError, plural
from charnet.overlay import as_dict, overlay
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import LARGEST_SETTINGS_FILE, to_yaml
from charnet.storage.document import LONGEST_HISTORY
from charnet.storage.runs import LARGEST_METRICS, LONGEST_METRICS_LINE

# Of the history. The integers are as long as the longest float, -2.2250738585072014e-308, and written much faster.
LONGEST_ENTRY: dict[str, float] = {f"{index:024}": -(10**22) for index in range(8)}
MOST_LENGTH_CHANGES, LONGEST_CHANGE = 200, (10**9, 10**9)  # each comes after an eighth of the time that is left
ADVICE = {
    "data.paths": "give the folder of the texts instead of each file",
    "training.resume_changes": "start a new run with --init-from",
}


def check(config: Config, checkpoint: Checkpoint) -> None:
    """Checks all files of a run.

    Args:
        config: the settings that the run stores beside its checkpoints, with the whole paths of the texts.
        checkpoint: the first of the run.

    Raises:
        ConfigError: one could not be read again; the message says which setting to change.
    """
    _check_metrics(config.training)
    config = _at_its_largest(config)
    if len(to_yaml(config).encode()) > LARGEST_SETTINGS_FILE:
        raise _too_long(config, "config.yaml")
    largest = dataclasses.replace(
        checkpoint, config=_at_its_largest(checkpoint.config), history=[LONGEST_ENTRY] * LONGEST_HISTORY
    )
    document = largest.document.to_json()
    found = tensorfile.excess(document, largest.tensors)
    if found and tensorfile.excess(document, {}):
        raise _too_long(largest.config, "a checkpoint")
    if found:
        model = config.model
        networks = f"{plural(model.members, 'network')} of {plural(model.num_layers, 'layer')}"
        raise ConfigError(
            f"model.members and model.num_layers: {networks} take {found}, more than a checkpoint can hold: "
            "choose fewer --members or --num-layers"
        )


def _at_its_largest(config: Config) -> Config:
    changes = (*config.training.length_changes, *[LONGEST_CHANGE] * MOST_LENGTH_CHANGES)
    return overlay(config, {"training.length_changes": changes})


def _check_metrics(training: TrainingSettings) -> None:
    lines = training.steps // training.report_every + training.steps // training.eval_every
    if lines * LONGEST_METRICS_LINE > LARGEST_METRICS:
        more_often = "report" if training.report_every <= training.eval_every else "eval"
        raise ConfigError(
            f"training.steps: {training.steps:,} steps give {lines:,} lines of metrics, more than a run can hold "
            f"({LARGEST_METRICS // LONGEST_METRICS_LINE:,}); choose a larger training.{more_often}_every"
        )


def _too_long(config: Config, file: str) -> ConfigError:
    """Returns the error to raise for settings that a file cannot hold. It names the longest one."""
    settings = {f"{s}.{key}": value for s, values in as_dict(config).items() for key, value in values.items()}
    del settings["training.length_changes"]  # room for what may come
    longest = max(settings, key=lambda name: len(json.dumps(settings[name])))
    value, advice = settings[longest], ADVICE.get(longest, "give a shorter one")
    size = plural(len(value), "text" if isinstance(value, list) else "character")
    return ConfigError(f"{longest}: {size} are more than {file} can hold; {advice}")
