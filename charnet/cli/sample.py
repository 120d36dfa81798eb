"""`charnet sample`"""

from __future__ import annotations

import functools

from charnet.cli import console, flags
from charnet.errors import ConfigError
from charnet.shaping import shaped

LENGTH, LENGTH_OF_A_TURN = 1000, 200  # characters
LONGEST_LINE = 100_000  # characters, where whole lines are asked for


def sample(
    checkpoint: flags.Checkpoint = None,
    prompt: flags.Prompt = None,
    prompt_file: flags.PromptFile = None,
    no_echo: flags.NoEcho = False,
    unknown: flags.Unknown = "error",
    interactive: flags.Interactive = False,
    length: flags.Length = None,
    temperature: flags.Temperature = "0.8",
    top_k: flags.TopK = 0,
    top_p: flags.TopP = 1.0,
    min_p: flags.MinP = 0.0,
    typical_p: flags.TypicalP = 1.0,
    repetition_penalty: flags.RepetitionPenalty = 1.0,
    repetition_window: flags.RepetitionWindow = 64,
    ban: flags.Ban = "",
    logit_bias: flags.LogitBias = None,
    seed: flags.Seed = None,
    stop: flags.Stop = None,
    max_lines: flags.MaxLines = 0,
    until: flags.Until = "",
    lines: flags.Lines = 0,
    samples: flags.Samples = 1,
    engine: flags.Engine = None,
    quantize: flags.Quantize = None,
    threads: flags.Threads = 0,
    out: flags.Out = None,
    out_dir: flags.OutDir = None,
    force: flags.Force = False,
    quiet: flags.Quiet = False,
    json: flags.Json = False,
    surprise: flags.Surprise = False,
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
    flags.limit_threads(threads)
    from charnet.generate import Options

    first, last = flags.temperatures(temperature)
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
        logit_bias=tuple(flags.bias(text) for text in logit_bias or ()),
        seed=flags.fresh_seed() if seed is None else seed,
        stop=tuple(stop or ()),
        max_lines=max_lines,
        until=until,
    )
    given = flags.prompt_text(prompt, prompt_file)

    from charnet import checkpoint as disk
    from charnet import runs
    from charnet.cli import surprise as colours
    from charnet.cli import texts as places
    from charnet.controls import Choice
    from charnet.engines import engine_of, fastest, has_numba, worth_compiling
    from charnet.together import texts

    place = places.Place(out, out_dir, ".json" if json else ".txt", lines=lines > 0)
    place.check(samples, force=force)
    path = runs.find(checkpoint)
    model = disk.load(path, to_go_on=False)
    if quantize is not None:
        model = model.quantized(quantize)
    vocab, config, precision = model.vocab, model.config, model.precision
    if lines and not config.data.lines:
        raise ConfigError(f"--lines: {path} was not trained with --lines; end its texts with --max-lines {lines}")
    weights, weights_sha256 = model.stored_weights, model.weights_sha256() if json else ""
    del model  # so that the engine's are the only weights in memory
    shape = functools.partial(shaped, data=config.data)
    characters = 0 if interactive else samples * places.likely_length(options)
    plain = Choice(vocab, options).plain
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
