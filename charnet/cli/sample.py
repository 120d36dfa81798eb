"""`charnet sample`"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from charnet.cli import adapting, console, copying, mixing, prompting, receipts, sample_options, whole_lines
from charnet.cli.options import unescaped
from charnet.config import SamplingOptions
from charnet.errors import ConfigError, quoted
from charnet.limits import options_of
from charnet.overlay import check_count

if TYPE_CHECKING:
    from charnet.cli.context import Context
    from charnet.cli.opening import Opened
    from charnet.cli.output import Destination
    from charnet.generation.detokenizer import Chunk

TURN_LENGTH = 200  # characters


def sample(
    checkpoint: sample_options.Checkpoint = None,
    start: sample_options.Start = None,
    prompt: sample_options.Prompt = None,
    prompt_file: sample_options.PromptFile = None,
    prompts_file: sample_options.PromptsFile = None,
    context: sample_options.Context = None,
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
    max_copy: sample_options.MaxCopy = None,
    new: sample_options.New = False,
    unique: sample_options.Unique = False,
    exact: sample_options.Exact = False,
    template: sample_options.Template = None,
    min_length: sample_options.MinLength = None,
    max_length: sample_options.MaxLength = None,
    ban: sample_options.Ban = None,
    logit_bias: sample_options.LogitBias = None,
    seed: sample_options.Seed = None,
    stop: sample_options.Stop = None,
    max_lines: sample_options.MaxLines = None,
    until: sample_options.Until = None,
    lines: sample_options.Lines = 0,
    samples: sample_options.Samples = 1,
    best_of: sample_options.BestOf = 1,
    best_by: sample_options.BestBy = "nats",
    mix: sample_options.Mix = None,
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
    copies: sample_options.Copies = False,
    width: sample_options.Width = None,
    templates: sample_options.Templates = False,
) -> int:
    """Write new text with a trained model, by default the newest."""
    given = dict(locals())  # first of all: each sampling option has the name of its field
    if templates:
        sample_options.show_templates(json=json)
        return 0
    prompt = given["prompt"] = prompting.one_of(start, prompt)
    _check(**given)
    samples = lines or samples
    sample_options.limit_threads(threads)
    options = _sampling_options(given)
    if lines and options.temperature_end is not None:
        raise ConfigError(f"--temp: expected one temperature with --lines, found {temperature}")
    reads_stdin = interactive or "-" in (prompt, *map(str, (prompt_file, prompts_file, context)))
    adapting.check(adapt=adapt, adapt_to=adapt_to, save_as=save_as, out=out, force=force, reads_stdin=reads_stdin)
    if prompts_file is not None:
        from charnet.cli import many

        return many.write_answers(given, options)
    raw, source = prompting.prompt_bytes(prompt, prompt_file)

    from charnet.cli import context as context_of
    from charnet.cli import opening, output
    from charnet.cli.surprise import can_color
    from charnet.data import prompts

    mixed = mixing.load(mix, quantize=quantize) if mix else None
    path, loaded = (mixed.paths[0], mixed.reader()) if mixed else opening.load(checkpoint, may_be_text=not raw)
    vocab, data, held = loaded.vocab, loaded.config.data, [loaded]
    if lines:
        samples, options = whole_lines.for_lines(options, lines, given, vocab, is_running=not data.document_end)
    destination = output.Destination(out, out_dir, ".json" if json else ".txt")
    destination.check(samples, force=force)
    if receipt:
        receipts.check(receipt, destination, samples, force=force)
    if vocab.document_end is not None and not interactive:
        options = whole_lines.for_documents(options, lines, length)
    before = context_of.load(given, loaded)
    (text, notes), ids = prompting.decode(raw, source, loaded), None
    if not interactive:  # raises errors before anything is shown
        destination = destination.of_model(loaded, lines=bool(lines))
        text, ids, more = prompts.read(text, vocab, data, skip_unknown=unknown == "skip")
        notes += more
        if adapt and not text:
            raise ConfigError("--adapt: expected a prompt to learn from; give one, or a text with --adapt-to")
    for note in () if quiet else notes:
        console.note(note)
    count, learned = 0 if interactive else samples, None if ids is None else ids.astype("u4")
    del loaded
    if mixed:
        model = mixing.open_models(mixed, options, given)
    else:
        model = opening.open_model(path, held, options, given, count=count, prompt=learned, before=len(before.ids))
    del mixed
    color = (surprise or copies) and not (json or destination.is_on_disk) and can_color()
    if ids is None:
        from charnet.cli.talk import talk

        talk(model, options, text, before, given, color=color)
    else:
        _write(model, options, text, ids.tolist(), before, destination, given, samples=samples, color=color)
    return 0


def _write(
    model: Opened,
    options: SamplingOptions,
    text: str,
    ids: Sequence[int],
    before: Context,
    destination: Destination,
    given: Mapping[str, Any],
    *,
    samples: int,
    color: bool,
) -> None:
    """Writes texts after one prompt.

    Args:
        given: the values of all options by the names of their parameters.
        color: show how unexpected each character was.
    """
    from charnet.cli import output
    from charnet.cli.wrap import terminal_columns, wrapped
    from charnet.generation.batch import texts
    from charnet.generation.best import best_of

    json, quiet, vocab = given["json"], given["quiet"], model.vocab
    copied, state = copying.Copying(model, given, text), before.state(model, options)
    count, best = given["best_of"], given["best_of"] > 1
    nats, score = json or best or (color and given["surprise"]), copied.score()
    more: dict[str, Any] = {"nats": nats, "before": state, "guard": copied.guard(options)}

    def write(end: int, first: int = 0) -> Iterable[Iterable[Chunk]]:
        found = texts(model.engine, vocab, ids, options, end * count, first=first * count, **more)
        return best_of(found, count, given["best_by"], first=first * count, **score) if best else found

    written = copied.texts(write, samples)
    is_cut, facts = Counter[bool](), dict[str, Any]()
    written = (output.watch_facts(chunks, facts) for chunks in written)
    echoed, recorder = "" if given["no_echo"] else text, None
    if given["width"]:
        written = (wrapped(chunks, given["width"], echoed) for chunks in written)
    if (options.until and options.length) or (given["length"] is None and options.length >= whole_lines.LONGEST_LINE):
        written = (
            whole_lines.watch_length(chunks, options.length, is_cut, of_bytes=vocab.of_bytes) for chunks in written
        )
    if given["receipt"] or (json and _has_receipts(model, options, given, state)):
        end = destination.end
        recorder = receipts.recorder(model, options, given, prompt=text, echoed=echoed, samples=samples, end=end)
        written = recorder.watch(written) if recorder else written
    if not quiet:
        _say_how(model, options, given, color=color)
        if not options.length:
            console.note(f"-n 0: nothing was to be written{' after the prompt' * bool(text)}")
        if color:
            copied.say_legend()
    if json:
        metadata = {"prompt": text, **vars(options), **model.metadata(given), **before.metadata()}
        objects = output.objects(written, echoed, metadata, recorder, each=given["surprise"])
        destination.write_objects(objects, samples, quiet=quiet)
    else:
        columns = terminal_columns() if given["width"] is None else 0
        how: dict[str, Any] = {"quiet": quiet, "color": color, "columns": columns}
        destination.write_texts(written, echoed, samples, **how, **copied.coloring)
    if given["receipt"] and recorder:
        recorder.receipt().write(given["receipt"])
    if not quiet:
        copied.say()
        output.note_share(facts)
        whole_lines.note_cut(is_cut[True], options.length, of_bytes=vocab.of_bytes, until=options.until)


def _say_how(model: Opened, options: SamplingOptions, given: Mapping[str, Any], *, color: bool) -> None:
    """Says on stderr which model writes how."""
    from charnet.cli import output

    model.say(options, given["engine"], is_newest=given["checkpoint"] is None)
    output.note_colors(given, color=color)


def _has_receipts(model: Opened, options: SamplingOptions, given: Mapping[str, Any], before: object) -> bool:
    """Returns whether a receipt names all that texts depend on."""
    depends = options.max_copy or given["new"] or given["unique"] or given["best_of"] > 1 or model.mix or before
    return model.adaptation is None and not depends


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
    mixing.check_options(more)
    receipts.check_options(interactive=interactive, **more)
    copying.check(interactive=interactive, **more)
    check_count("--samples", samples, low=1)
    check_count("--lines", lines)
    check_count("--best-of", more["best_of"], low=1)
    sample_options.check_many(samples=samples, interactive=interactive, lines=lines, **more)
    check_count("--width", more["width"] or 0)
    if more["width"] and (interactive or more["json"] or more["receipt"]):
        raise ConfigError("--width is for texts that are read: leave out -i, --json and --receipt")
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
    if given["lines"]:
        values["max_lines"] = 1
        values.setdefault("length", whole_lines.LONGEST_LINE)
    values.setdefault("seed", sample_options.random_seed())
    values["stop"] = tuple(unescaped(text, "--stop") for text in values.get("stop", ()))
    values["ban"] = unescaped(values.get("ban", ""), "--ban")
    if values.get("match") == "":
        raise ConfigError(
            '--match: expected a regular expression, found ""; leave it out, or match any text with (?s).*'
        )
    if "template" in values:
        values["template"] = sample_options.parse_template(values["template"])
    values["logit_bias"] = tuple(map(sample_options.parse_logit_bias, values.get("logit_bias", ())))
    return SamplingOptions(**values)
