"""`charnet sample --prompts`: a text for each line of a file, written side by side, answered in order as JSON lines."""

from __future__ import annotations

import codecs
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from charnet.cli import console, context, copying, mixing, opening, output, prompting, whole_lines
from charnet.cli.whole_lines import LONGEST_LINE
from charnet.config import DataSettings, SamplingOptions
from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.errors import CharnetError, ConfigError, PromptError, did_you_mean, plural, quoted, short_repr
from charnet.generation.batch import answers
from charnet.generation.copy_guard import CopyGuard
from charnet.generation.generate import GenerationState, start
from charnet.generation.running import Request
from charnet.limits import options_of
from charnet.storage.checkpoint import Checkpoint

MOST_SEARCHED = 100  # lines behind the first
Ending = tuple[int, str]  # the longest length of a text, and --until
OWN = ("prompt", "id")  # fields of a line beside the sampling options


@dataclass(frozen=True)
class Line:
    """A line of the file: what it asks for, or why that cannot be done.

    Attributes:
        index: of the line in the file, from 0.
        label: its own `id`, if it has one, which its answer has too.
        prompt: as the model reads it.
        guard: keeps the answer from copying, if its options ask for that.
    """

    index: int
    label: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    ids: tuple[int, ...] = ()
    options: SamplingOptions = SamplingOptions()  # noqa: RUF009 - it is frozen
    error: str = ""
    has_seed: bool = False
    guard: CopyGuard | None = None

    def named(self) -> dict[str, Any]:
        return {"index": self.index, **self.label}


def write_answers(given: Mapping[str, Any], options: SamplingOptions) -> int:
    """Writes a text for each line of the file of `--prompts`; returns the exit code of the command.

    Args:
        given: the values of all options by the names of their parameters.
        options: of the lines that have none of their own.
    """
    destination = output.Destination(given["out"])
    destination.check(1, force=given["force"])
    raw, name = prompting.file_bytes(given["prompts_file"])
    mixed = mixing.load(given["mix"], quantize=given["quantize"]) if given["mix"] else None
    path, loaded = (mixed.paths[0], mixed.reader()) if mixed else opening.load(given["checkpoint"])
    if loaded.vocab.document_end is not None:
        options = whole_lines.for_documents(options, 0, given["length"])
    before = context.load(given, loaded)
    lines = _read(raw, name, loaded, options, skip_unknown=given["unknown"] == "skip")
    held = [loaded]
    del loaded
    as_json = {**given, "json": True}
    if mixed:
        model = mixing.open_models(mixed, options, as_json)
    else:
        count = max(1, len(lines))
        most = max((line.options.max_copy for line in lines), default=0)  # the learned text is needed if it is above 0
        of_all = replace(options, max_copy=most)
        model = opening.open_model(path, held, of_all, as_json, count=count, before=len(before.ids))
    copied = copying.Copying(model, as_json)
    lines = [_guarded(line, copied) for line in lines]
    begun = before.state(model, options) or start(model.engine, model.vocab)
    if not given["quiet"]:
        model.say(options, given["engine"], is_newest=given["checkpoint"] is None)
    failed, is_cut = list[str](), defaultdict[Ending, Counter[bool]](Counter)
    metadata = {**model.metadata(given), **before.metadata()}
    objects = _objects(model, lines, begun, copied, metadata, given, failed, is_cut)
    destination.write_objects(objects, len(lines), quiet=given["quiet"], noun="answer")
    if not given["quiet"]:
        copied.say()
        for (length, until), counts in is_cut.items():
            whole_lines.note_cut(counts[True], length, of_bytes=model.vocab.of_bytes, until=until)
    if failed:
        shown = f"{name}: {plural(len(failed), 'line')} of {len(lines):,} without a text: {failed[0]}"
        console.error(shown)
    return PromptError.exit_code if failed else 0


def _objects(
    model: opening.Opened,
    lines: Sequence[Line],
    begun: GenerationState,
    copied: copying.Copying,
    metadata: Mapping[str, Any],
    given: Mapping[str, Any],
    failed: list[str],
    is_cut: dict[Ending, Counter[bool]],
) -> Iterator[dict[str, Any]]:
    """Yields the answer to each line; adds to `failed` what is said of those without a text, and to `is_cut` whether
    only its length ended it, of those that should end otherwise."""
    requests = (Request(begun.extend(line.ids), line.options, guard=line.guard) for line in lines if not line.error)
    written = answers(model.engine, model.vocab, requests, nats=True)
    for line in lines:
        error = line.error
        if not error:
            echoed = "" if given["no_echo"] else line.prompt
            asked = {"prompt": line.prompt, **vars(line.options)}
            chunks = copied.watch(next(written))
            length, until = line.options.length, line.options.until
            if (until and length) or (given["length"] is None and length == LONGEST_LINE):
                counts = is_cut[length, until]
                chunks = whole_lines.watch_length(chunks, length, counts, of_bytes=model.vocab.of_bytes)
            try:
                text, known = output.described(chunks, each=given["surprise"])
            except CharnetError as refused:
                error = str(refused)
            else:
                yield {"text": echoed + text, **line.named(), **asked, **metadata, **known}
        if error:
            failed.append(f"line {line.index + 1:,}: {error}")
            yield {**line.named(), "error": error}


def _read(raw: bytes, name: str, checkpoint: Checkpoint, options: SamplingOptions, *, skip_unknown: bool) -> list[Line]:
    """Reads the lines of a file; each says what is wrong with it. Blank lines ask for nothing in a file of JSON, and
    for a text without a prompt otherwise."""
    data, vocab = checkpoint.config.data, checkpoint.vocab
    typed = _decoded(raw, name, checkpoint)
    is_json, found = _is_json(raw, typed), list[Line]()
    for index, line in enumerate(typed):
        if isinstance(line, PromptError):
            found.append(Line(index, error=str(line)))
            continue
        if is_json and not line.strip():
            continue
        asked = _asked(index, line, options) if is_json else Line(index, {}, line, (), options)
        asked = replace(asked, options=replace(asked.options, seed=asked.options.seed + index * (not asked.has_seed)))
        found.append(asked if asked.error else _fitted(asked, vocab, data, skip_unknown=skip_unknown))
    return found


def _is_json(raw: bytes, typed: Sequence[str | PromptError]) -> bool:
    """Returns whether lines are JSON: the first one that is not blank begins with a brace, and it or one of the next
    100 is a JSON object. So a first line that is broken, or in another encoding, is refused and not read as a prompt.

    Args:
        raw: the file of the lines; of a line that cannot be decoded only its bytes are known.
    """
    not_blank = (line for line in typed if isinstance(line, PromptError) or line.strip())
    some = list(itertools.islice(not_blank, 1 + MOST_SEARCHED)) or [""]
    if isinstance(some[0], PromptError):
        has_brace = raw.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
    else:
        has_brace = some[0].lstrip().startswith("{")
    return has_brace and any(isinstance(line, str) and isinstance(_value(line), dict) for line in some)


def _decoded(raw: bytes, name: str, checkpoint: Checkpoint) -> list[str | PromptError]:
    """Returns the lines of a file; in place of one that cannot be decoded, why."""
    encoding, of_bytes = checkpoint.config.data.encoding, checkpoint.vocab.of_bytes
    try:
        text = prompts.decode(raw, name, encoding, of_bytes=of_bytes)
    except PromptError:
        if b"\0" in raw:  # characters of several bytes each: a line end cannot be told from half of another character
            raise
        found = list[str | PromptError]()
        for line in raw.removesuffix(b"\n").split(b"\n"):
            try:
                found.append(prompts.decode(line.removesuffix(b"\r"), "the line", encoding, of_bytes=of_bytes))
            except PromptError as error:
                found.append(error)
        return found
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _value(line: str) -> Any:
    """Returns the JSON value of a line, or None if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _asked(index: int, line: str, options: SamplingOptions) -> Line:
    """Reads what a line of JSON asks for."""
    values = _value(line)
    if not isinstance(values, dict):
        return Line(index, error=f"expected a JSON object, found {quoted(line)}")
    label = {"id": values["id"]} if "id" in values else {}
    known = options_of(SamplingOptions)
    try:
        for name in values:
            if name not in known and name not in OWN:
                names = [*OWN, *known]
                raise ConfigError(f"there is no option {quoted(name)}{did_you_mean(name, names)}")
        prompt = values.get("prompt", "")
        if not isinstance(prompt, str):
            raise ConfigError(f"prompt: expected a text, found {short_repr(prompt)}")
        changes = {name: value for name, value in values.items() if name not in OWN}
        for name in ("stop", "logit_bias"):
            if isinstance(changes.get(name), list):
                changes[name] = tuple(tuple(each) if isinstance(each, list) else each for each in changes[name])
        return Line(index, label, prompt, (), replace(options, **changes), has_seed="seed" in changes)
    except CharnetError as error:
        return Line(index, label, error=str(error))


def _guarded(line: Line, copied: copying.Copying) -> Line:
    """Gives a line the guard that its options ask for."""
    try:
        return line if line.error else replace(line, guard=copied.guard(line.options))
    except CharnetError as error:
        return replace(line, error=str(error))


def _fitted(line: Line, vocab: Vocabulary, data: DataSettings, *, skip_unknown: bool) -> Line:
    """Makes of the prompt of a line what the model reads."""
    try:
        text, ids, _ = prompts.read(line.prompt, vocab, data, skip_unknown=skip_unknown)
    except CharnetError as error:
        return replace(line, error=str(error))
    return replace(line, prompt=text, ids=tuple(ids.tolist()))
