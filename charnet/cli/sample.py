"""`charnet sample`"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import adapting, console, prompting, receipts, sample_options
from charnet.cli.options import unescaped
from charnet.config import SamplingOptions
from charnet.errors import ConfigError, plural, quoted
from charnet.limits import options_of
from charnet.overlay import check_count

if TYPE_CHECKING:
    from charnet.engines.base import Engine
    from charnet.evaluation.adapt import Adaptation
    from charnet.storage.checkpoint import Checkpoint

TURN_LENGTH = 200  # characters
LONGEST_LINE = 20_000  # characters, with --lines, and of a whole document


def sample(
    checkpoint: sample_options.Checkpoint = None,
    prompt: sample_options.Prompt = None,
    prompt_file: sample_options.PromptFile = None,
    no_echo: sample_options.NoEcho = False,
    unknown: sample_options.Unknown = "error",
    interactive: sample_options.Interactive = False,
    adapt: sample_options.Adapt = False,
    adapt_to: sample_options.AdaptTo = None,
    save_as: sample_options.SaveAs = None,
    length: sample_options.Length = None,
    temperature: sample_options.Temperature = None,
    top_k: sample_options.TopK = None,
    top_p: sample_options.TopP = None,
    min_p: sample_options.MinP = None,
    typical_p: sample_options.TypicalP = None,
    repetition_penalty: sample_options.RepetitionPenalty = None,
    repetition_window: sample_options.RepetitionWindow = None,
    match: sample_options.Match = None,
    ban: sample_options.Ban = None,
    logit_bias: sample_options.LogitBias = None,
    seed: sample_options.Seed = None,
    stop: sample_options.Stop = None,
    max_lines: sample_options.MaxLines = None,
    until: sample_options.Until = None,
    lines: sample_options.Lines = 0,
    samples: sample_options.Samples = 1,
    engine: sample_options.Engine = None,
    quantize: sample_options.Quantize = None,
    threads: sample_options.Threads = 0,
    out: sample_options.Out = None,
    out_dir: sample_options.OutDir = None,
    force: sample_options.Force = False,
    receipt: sample_options.Receipt = None,
    receipt_private: sample_options.ReceiptPrivate = False,
    quiet: sample_options.Quiet = False,
    json: sample_options.Json = False,
    surprise: sample_options.Surprise = False,
) -> None:
    """Write new text with a trained model, by default the newest."""
    given = dict(locals())  # first of all: each sampling option has the name of its field
    _check(**given)
    if lines:
        samples, given["max_lines"], given["length"] = lines, 1, LONGEST_LINE if length is None else length
    sample_options.limit_threads(threads)
    options = _sampling_options(given)
    if lines and options.temperature_end is not None:
        raise ConfigError(f"--temp: expected one temperature with --lines, found {temperature}")
    reads_stdin = interactive or "-" in (prompt, str(prompt_file))
    adapting.check(adapt=adapt, adapt_to=adapt_to, save_as=save_as, out=out, force=force, reads_stdin=reads_stdin)
    raw, source = prompting.prompt_bytes(prompt, prompt_file)

    from charnet.cli import output
    from charnet.cli.surprise import COLORS_REFUSED, can_color, legend
    from charnet.data import prompts
    from charnet.data.normalize import normalize
    from charnet.engines import registry
    from charnet.generation.batch import fastest_engine, texts
    from charnet.generation.sampler import Sampler

    destination = output.Destination(out, out_dir, ".json" if json else ".txt")
    destination.check(samples, force=force)
    if receipt:
        receipts.check(receipt, destination, samples, force=force)
    path, model = _load(checkpoint, lines)
    vocab, config = model.vocab, model.config
    if vocab.document_end is not None and not interactive:
        options = _for_documents(options, lines, length)
    if not interactive:
        destination = destination.of_model(model, lines=bool(lines))
    text = prompting.decode(raw, source, model)
    if not interactive:  # raises errors before anything is shown
        text, ids, notes = prompts.read(text, vocab, config.data, skip_unknown=unknown == "skip")
        for note in () if quiet else notes:
            console.note(note)
        if adapt and not text:
            raise ConfigError("--adapt: expected a prompt to learn from; give one, or a text with --adapt-to")
    adaptation = None
    if adapt or adapt_to is not None:
        if quantize is not None:
            model.quantize(quantize)  # raises errors before the model learns
        learned = ids.astype("u4") if adapt and not interactive else None
        skips = unknown == "skip"
        adaptation = adapting.start(model, adapt_to, learned, skip_unknown=skips, threads=threads, quiet=quiet)
        if save_as and not interactive:
            adapting.save(adaptation, save_as, quiet=quiet)
        model = adaptation.checkpoint
    checkpoint_sha256 = model.sha256  # of the file
    model = model if quantize is None else model.quantize(quantize)
    precision, ngram = model.precision, adaptation.ngram if adaptation else model.ngram
    weights, weights_sha256 = model.stored_weights, model.weights_sha256() if json else ""
    del model  # only the engine keeps weights in memory
    pattern = Sampler(vocab, options).pattern
    for note in pattern.notes if pattern and not quiet else ():
        console.note(f"--match: {note}")
    fastest = engine or fastest_engine(config.model, vocab, weights, options, 0 if interactive else samples)
    engine = registry.available(fastest) if engine is None else engine
    opened = registry.engine_of(config.model, weights, engine, threads=threads, ngram=ngram)
    color = surprise and not (json or destination.is_on_disk) and can_color()
    if not interactive:
        written = texts(opened, vocab, ids.tolist(), options, samples, nats=json or color)
        is_cut = Counter[bool]()
        if length is None and options.length == LONGEST_LINE:
            length = LONGEST_LINE
            written = (output.watch_length(chunks, length, is_cut, of_bytes=vocab.of_bytes) for chunks in written)
        echoed, recorder = "" if no_echo else text, None
        if receipt or (json and adaptation is None):
            recorder = receipts.recorder(
                opened,
                vocab,
                options,
                given,
                checkpoint=path,
                checkpoint_sha256=checkpoint_sha256,
                prompt=text,
                echoed=echoed,
                samples=samples,
                end=destination.end,
            )
            written = recorder.watch(written) if recorder else written
    if not quiet:
        weights_of = "8-bit weights" if precision == "int8" else precision
        console.note(
            f"{path}: {opened.name} engine, {weights_of}, temperature {_temperature(options)}, seed {options.seed}"
        )
        if engine != fastest:
            advice = "--engine compiled says why not here" if registry.has_numba() else "pip install 'charnet[fast]'"
            console.note(f"an engine for long texts is several times as fast: {advice}")
        if interactive:
            console.note("type the start of the text, or press Enter; /help lists the commands")
            if adapt:
                console.note("the model learns from each turn that you type; /back undoes that too, up to ten times")
        if surprise and not json:
            console.note(legend() if color else COLORS_REFUSED, keep="\x1b")
    if interactive:
        from charnet.cli.interactive import Session

        def read_turn(typed: str) -> str:
            raw, data = typed.encode("utf-8", "surrogateescape"), config.data
            return normalize(prompts.decode(raw, "this line", data.encoding, of_bytes=vocab.of_bytes), data)

        session = Session(opened, vocab, options, read=read_turn, skip_unknown=unknown == "skip", color=color)
        if adapt and adaptation is not None:
            session.learn_turns(adaptation, functools.partial(_open, engine=engine, quantize=quantize, threads=threads))
        session.run(text)
        if save_as and adaptation is not None:
            adapting.save(session.adaptation or adaptation, save_as, quiet=quiet)
        return
    if json:
        metadata = {
            "prompt": text,
            **vars(options),
            "engine": opened.name,
            "precision": precision,
            "checkpoint": str(path),
            "weights_sha256": weights_sha256,
            **({"adapt": adapt, "adapt_to": adapt_to} if adaptation else {}),
        }
        objects = output.objects(written, echoed, metadata, recorder, each=surprise)
        destination.write_objects(objects, samples, quiet=quiet)
    else:
        destination.write_texts(written, echoed, samples, quiet=quiet, color=color)
    if receipt and recorder:
        recorder.receipt().write(receipt)
    if is_cut[True] and not quiet:
        symbols = "bytes" if vocab.of_bytes else "characters"
        console.note(
            f"{plural(is_cut[True], 'text')} cut after {LONGEST_LINE:,} {symbols}, where the model had not ended"
        )


def _check(
    *,
    samples: int,
    unknown: str,
    interactive: bool,
    lines: int,
    until: str | None,
    max_lines: int | None,
    **more: Any,
) -> None:
    """Raises ConfigError if the options of the command contradict each other."""
    receipts.check_options(interactive=interactive, **more)
    check_count("--samples", samples, low=1)
    check_count("--lines", lines)
    if unknown not in ("error", "skip"):
        raise ConfigError(f"--unknown: expected error or skip, found {quoted(unknown)}")
    has_output = any(more[name] for name in ("json", "out", "out_dir"))
    if interactive and (has_output or samples > 1 or "-" in (more["prompt"], str(more["prompt_file"]))):
        raise ConfigError("-i: leave out --json, --out, --out-dir, --samples and a prompt from stdin")
    if lines and (samples > 1 or until or max_lines or interactive):
        raise ConfigError("--lines: leave out --samples, --until, --max-lines and -i")


def _sampling_options(given: Mapping[str, Any]) -> SamplingOptions:
    """The sampling options that were given, and the defaults of the others; without a seed a new one."""
    values = {name: given[name] for name in options_of(SamplingOptions) if given.get(name) is not None}
    if "temperature" in values:
        values["temperature"], values["temperature_end"] = sample_options.parse_temperature(values["temperature"])
    if given["interactive"]:
        values.setdefault("length", TURN_LENGTH)
    values.setdefault("seed", sample_options.random_seed())
    values["stop"] = tuple(unescaped(text, "--stop") for text in values.get("stop", ()))
    values["ban"] = unescaped(values.get("ban", ""), "--ban")
    values["logit_bias"] = tuple(map(sample_options.parse_logit_bias, values.get("logit_bias", ())))
    return SamplingOptions(**values)


def _for_documents(options: SamplingOptions, lines: int, length: int | None) -> SamplingOptions:
    """The options with which a model of documents writes whole ones: it knows itself where they end."""
    if lines:
        options = replace(options, max_lines=0)
    one_temperature = options.temperature_end is None  # else the temperature changes over the length
    return replace(options, length=LONGEST_LINE) if length is None and one_temperature else options


def _temperature(options: SamplingOptions) -> str:
    end = "" if options.temperature_end is None else f":{options.temperature_end:g}"
    return f"{options.temperature:g}{end}"


def _load(given: Path | None, lines: int) -> tuple[Path, Checkpoint]:
    """Loads a checkpoint."""
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(given)
    model = Checkpoint.load(path, weights_only=True)
    if lines and not model.config.data.document_end:
        raise ConfigError(f"--lines: {path} was not trained with --lines; use --max-lines {lines} instead")
    return path, model


def _open(adaptation: Adaptation, engine: str, quantize: str | None, threads: int) -> Engine:
    """Opens an engine with a model that has learned."""
    from charnet.engines import registry

    model = adaptation.checkpoint if quantize is None else adaptation.checkpoint.quantize(quantize)
    weights = model.stored_weights
    return registry.engine_of(model.config.model, weights, engine, threads=threads, ngram=adaptation.ngram)
