"""`charnet sample`"""

from __future__ import annotations

import functools

from charnet.cli import console, sample_options
from charnet.data.normalize import normalize
from charnet.errors import ConfigError

LENGTH, LENGTH_OF_A_TURN = 1000, 200  # characters
LONGEST_LINE = 100_000  # characters, where whole lines are asked for


def sample(
    checkpoint: sample_options.Checkpoint = None,
    prompt: sample_options.Prompt = None,
    prompt_file: sample_options.PromptFile = None,
    no_echo: sample_options.NoEcho = False,
    unknown: sample_options.Unknown = "error",
    interactive: sample_options.Interactive = False,
    length: sample_options.Length = None,
    temperature: sample_options.Temperature = "0.8",
    top_k: sample_options.TopK = 0,
    top_p: sample_options.TopP = 1.0,
    min_p: sample_options.MinP = 0.0,
    typical_p: sample_options.TypicalP = 1.0,
    repetition_penalty: sample_options.RepetitionPenalty = 1.0,
    repetition_window: sample_options.RepetitionWindow = 64,
    ban: sample_options.Ban = "",
    logit_bias: sample_options.LogitBias = None,
    seed: sample_options.Seed = None,
    stop: sample_options.Stop = None,
    max_lines: sample_options.MaxLines = 0,
    until: sample_options.Until = "",
    lines: sample_options.Lines = 0,
    samples: sample_options.Samples = 1,
    engine: sample_options.Engine = None,
    quantize: sample_options.Quantize = None,
    threads: sample_options.Threads = 0,
    out: sample_options.Out = None,
    out_dir: sample_options.OutDir = None,
    force: sample_options.Force = False,
    quiet: sample_options.Quiet = False,
    json: sample_options.Json = False,
    surprise: sample_options.Surprise = False,
) -> None:
    """Write new text with a trained model, by default the newest."""
    if samples < 1:
        raise ConfigError(f"--samples: expected a number at least 1, found {samples}")
    if unknown not in ("error", "skip"):
        raise ConfigError(f'--unknown: expected error or skip, found "{unknown}"')
    if interactive and (json or out or out_dir or samples > 1 or "-" in (prompt, str(prompt_file))):
        raise ConfigError("-i: expected no --json, --out, --out-dir, --samples or prompt from stdin beside it")
    if lines:
        if lines < 0 or samples > 1 or until or max_lines or interactive:
            raise ConfigError("--lines: expected a number above 0, without --samples, --until, --max-lines and -i")
        samples, max_lines, length = lines, 1, LONGEST_LINE if length is None else length
    sample_options.limit_threads(threads)
    from charnet.generation.sampler import Options

    first, last = sample_options.parse_temperature(temperature)
    if lines and last is not None:
        raise ConfigError(f"--temp: expected one temperature beside --lines, found {temperature}")
    options = Options(
        length=length if length is not None else LENGTH_OF_A_TURN if interactive else LENGTH,
        temperature=first,
        temperature_end=last,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
        repetition_penalty=repetition_penalty,
        repetition_window=repetition_window,
        ban=ban,
        logit_bias=tuple(sample_options.parse_logit_bias(text) for text in logit_bias or ()),
        seed=sample_options.random_seed() if seed is None else seed,
        stop=tuple(stop or ()),
        max_lines=max_lines,
        until=until,
    )
    given = sample_options.prompt_text(prompt, prompt_file)

    from charnet.cli import output as places
    from charnet.cli import surprise as colours
    from charnet.engines.registry import engine_of, fastest, has_numba, worth_compiling
    from charnet.generation.batch import texts
    from charnet.generation.sampler import Sampler
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    place = places.Destination(out, out_dir, ".json" if json else ".txt", lines=lines > 0)
    place.check(samples, force=force)
    path = runs.find(checkpoint)
    model = Checkpoint.load(path, weights_only=True)
    if quantize is not None:
        model = model.quantize(quantize)
    vocab, config, precision = model.vocab, model.config, model.precision
    if lines and not config.data.lines:
        raise ConfigError(f"--lines: {path} was not trained with --lines; end its texts with --max-lines {lines}")
    weights, weights_sha256 = model.stored_weights, model.weights_sha256() if json else ""
    del model  # so that the engine's are the only weights in memory
    shape = functools.partial(normalize, data=config.data)
    characters = 0 if interactive else samples * places.likely_length(options)
    plain = Sampler(vocab, options).temperature_only
    opened = engine_of(config.model, weights, engine or fastest(characters, plain=plain), threads=threads)
    shows_colours = surprise and not (json or place.is_on_disk) and colours.possible()
    if not interactive:  # refuses what does not fit the model before anything is said
        given = shape(given)
        ids, dropped = vocab.encode_known(given) if unknown == "skip" else (vocab.encode(given), 0)
        if dropped and not quiet:
            console.note(f"prompt: left out what the model does not know: {dropped} character{'s' * (dropped > 1)}")
        written = texts(opened, vocab, ids.tolist(), options, samples, nats=json or shows_colours)
    if not quiet:
        said = "8-bit weights" if precision == "int8" else precision
        console.note(f"{path}: {opened.name} engine, {said}, temperature {temperature}, seed {options.seed}")
        if engine is None and worth_compiling(characters, plain=plain) and not has_numba():
            console.note("for long texts there is an engine several times as fast: pip install 'charnet[fast]'")
        if interactive:
            console.note("type how the text begins, or Enter alone; /help lists the commands")
        if surprise and not json:
            console.note(colours.legend() if shows_colours else colours.NO_COLOURS, keep="\x1b")
    if interactive:
        from charnet.cli.interactive import Session

        skips = unknown == "skip"
        session = Session(opened, vocab, options, shape=shape, skips_unknown=skips, colours=shows_colours)
        session.run(given)
        return
    read = vocab.decode(ids.tolist()) if dropped else given
    echoed = "" if no_echo else read
    if json:
        facts = {
            "prompt": read,
            **vars(options),
            "engine": opened.name,
            "precision": precision,
            "checkpoint": str(path),
            "weights_sha256": weights_sha256,
        }
        place.take_objects(places.objects(written, echoed, facts, each=surprise), samples, quiet=quiet)
    else:
        place.take_texts(written, echoed, samples, quiet=quiet, colours=shows_colours)
