"""Options, settings and commands of other programs, and their names here, for messages.

Those that people know from char-rnn, torch-rnn, textgenrnn and nanoGPT are among them. All are written without dashes
in front, and with dashes for underscores within.
"""

from __future__ import annotations

from collections.abc import Collection

from charnet.errors import did_you_mean

LISTED = "; charnet guide settings lists them"
# name here: names elsewhere. With a value behind it, the name stands for that; of several names the first that the
# command has counts. "argument" stands for a word without a dash in front.
_OPTIONS = {
    "learning-rate": "lr rate alpha eta",
    "device cuda": "gpu cuda use-gpu",
    "device cuda, or cpu for -1": "gpuid gpu-id",
    "device cpu": "cpu no-cuda no-gpu",
    "device": "backend gpu-backend",
    "batch-size": "batch bs minibatch streams",
    "epochs": "epoch n-epochs num-epochs max-epochs passes",
    "steps": "iters iter iterations max-iters max-steps num-steps n-steps step lr-decay-iters",
    "for": "time minutes hours duration budget max-time",
    "num-layers": "layers n-layers n-layer nlayers layer depth",
    "hidden-size": "hidden units rnn-size hidden-dim n-hidden n-embd hidden-units num-units nhid d-model dim width "
    "size",
    "embedding-size": "embedding embed emb embed-size embedding-dim emb-size emsize wordvec-size dim-embeddings",
    "window": "seq-length seq-len sequence-length seqlen block-size bptt bptt-len context-length",
    "cell": "rnn-type cell-type rnn lstm gru model-type",
    "dropout": "drop drop-prob dropout-p",
    "optimizer": "optim opt",
    "activation": "nonlinearity",
    "val-fraction": "val-frac train-frac validation-split val-split valid-fraction",
    "test-fraction": "test-frac",
    "members": "ensemble",
    "seed": "random-seed rng-seed",
    "precision bf16": "fp16 bf16 half amp mixed-precision",
    "precision": "dtype",
    "threads": "num-threads n-threads workers num-workers cores",
    "processes": "nproc world-size num-gpus",
    "init-from": "pretrained finetune fine-tune start-from weights",
    "resume": "continue-from restore resume-from",
    "log wandb": "wandb wandb-log use-wandb",
    "log tensorboard": "tensorboard tb",
    "set training.clip=1": "grad-clip gradient-clip clip max-grad-norm",
    "set training.weight_decay=0.01": "weight-decay wd decay",
    "set training.warmup=0.05": "warmup warmup-iters warmup-steps",
    "set training.eval_every=100": "eval-interval eval-every eval-val-every validate-every",
    "set training.report_every=10": "print-every log-interval report-every",
    "set training.final_learning_rate=0.01": "min-lr final-lr",
    "val-chars": "eval-iters",
    "checkpoint-every": "save-every save-interval",
    "lines": "line-delimited single-lines",
    "out": "output outfile output-file output-dir out-dir save-dir checkpoint-dir savefile save dir rundir folder",
    "name": "run-name experiment title",
    "prompt": "start start-text primetext prime-text prime prefix seed-text begin",
    "prompt-file": "input input-file prime-file",
    "length": "num-chars n-chars chars max-new-tokens max-tokens num-tokens max-gen-length characters count",
    "samples": "num-samples n-samples num number",
    "temp 0": "greedy argmax",
    "temp": "temperature",
    "top-k": "topk k",
    "top-p": "topp nucleus p",
    "repetition-penalty": "rep-penalty repeat-penalty penalty",
    "interactive": "chat repl talk",
    "surprise": "color colors colour surprisal",
    "max-copy": "no-copy copy",
    "match": "regex pattern grammar",
    "ban": "exclude bad-chars",
    "quiet": "silent no-progress",
    "json": "format",
    "help-all": "all full",
    "model": "checkpoint ckpt",
}
# What is an argument here: the command, the words that stand for it, and how it is given.
_ARGUMENTS = {
    "train": (
        "data data-dir dataset input input-file input-txt input-h5 input-json file text corpus path source",
        "book.txt",
    ),
    "sample": ("model checkpoint ckpt load run model-path load-from", "book"),
    "eval": ("model checkpoint ckpt load run data dataset input file text", "book book.txt"),
    "inspect": ("model checkpoint ckpt load run file", "book"),
    "insight": ("model checkpoint ckpt load run data text file", "book book.txt"),
    "serve": ("model checkpoint ckpt load run", "book"),
    "quantize": ("model checkpoint ckpt load run", "book"),
    "export": ("model checkpoint ckpt load run", "book"),
    "compress": ("input file text data", "book.txt"),
    "sweep": ("data data-dir dataset input file text corpus", "book.txt"),
    "corpus info": ("data dataset input file text", "book.txt"),
}
# A model is a cell where there is no argument for one: `th train.lua -model lstm`. A format is a flag of its own.
_OF_A_COMMAND = {
    "train": {"model": "cell"},
    "export": {"format": "html, --onnx, --safetensors or --numpy", "type": "html, --onnx, --safetensors or --numpy"},
}
_IN_PYTHON = {"model": ["cell"], "temp": ["temperature"], "for": ["seconds"], "time": ["seconds"]}
_COMMANDS = {
    "runs": "ls list models checkpoints history",
    "sample": "generate gen write predict text complete",
    "sample -i": "chat repl talk shell interactive",
    "eval": "test evaluate evaluation score perplexity ppl loss bpc",
    "inspect": "info show describe summary cat view",
    "insight": "visualize visualise plot explain neurons analyze analyse",
    "train": "fit learn finetune fine-tune run start preprocess prepare",
    "train --resume RUN": "resume continue",
    "sweep": "tune search grid hyperopt optimize",
    "serve": "server api web ui http webui",
    "corpus info": "stats statistics count",
    "corpus get": "download fetch get",
    "corpus list": "datasets texts corpora",
    "guide": "docs doc manual man tutorial readme",
    "lesson": "teach course",
    "doctor": "check env sysinfo diagnose status",
    "bench": "benchmark speed",
    "export": "convert onnx html package",
    "quantize": "quantise int8",
    "compress": "zip pack",
    "decompress": "unzip unpack extract uncompress",
    "cache clear": "clean clear purge",
    "--help": "help usage commands",
    "--version": "version v",
    "completion bash": "completions autocomplete",
}


def _by_synonym(table: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, others in table.items():
        for other in others.split():
            found.setdefault(other, []).append(name)
    return found


OPTIONS, COMMANDS = _by_synonym(_OPTIONS), _by_synonym(_COMMANDS)


def plain(word: str) -> str:
    """Returns the name of an option as it stands in these tables.

    >>> plain("--Learning_rate=3"), plain("-gpuid")
    ('learning-rate', 'gpuid')
    """
    return word.partition("=")[0].lstrip("-").replace("_", "-").lower()


def option_here(word: str, command: str, flags: set[str]) -> str:
    """Returns the option of a command that a word stands for, with two dashes, or an argument as an example, or "".

    Args:
        flags: the options of the command, with their dashes.

    >>> option_here("--lr", "train", {"--learning-rate"}), option_here("--gpu", "train", {"--device"})
    ('--learning-rate', '--device cuda')
    """
    name = plain(word)
    words, example = _ARGUMENTS.get(command, ("", ""))
    candidates = [name, _OF_A_COMMAND.get(command, {}).get(name, ""), *OPTIONS.get(name, ())]
    for each in filter(None, candidates):
        if f"--{each.replace(',', ' ').split()[0]}" in flags:
            return f"--{each}"
    return f"charnet {command} {example}" if name in words.split() else ""


def setting_here(word: str, names: Collection[str]) -> str:
    """Returns the field that a word stands for, of those with these names, or "".

    >>> setting_here("lr", ["learning_rate"]), setting_here("grad_clip", ["clip"]), setting_here("xyz", ["clip"])
    ('learning_rate', 'clip', '')
    """
    others: list[str] = [*_IN_PYTHON.get(plain(word), ()), *OPTIONS.get(plain(word), ())]
    for each in others:
        field = each.removeprefix("set ").replace("=", " ").replace(",", " ").split()[0]
        if (name := field.rpartition(".")[2].replace("-", "_")) in names:
            return name
    return ""


def meant(wrong: str, known: Collection[str]) -> str:
    """Says which of the known names a wrong one stands for, elsewhere or by its letters, or where all are listed."""
    here = setting_here(wrong, known)
    return f' (did you mean "{here}"?)' if here else did_you_mean(wrong, known) or LISTED


def command_here(word: str) -> str:
    """Returns the command that a word stands for, or "".

    >>> command_here("ls"), command_here("generate"), command_here("xyz")
    ('runs', 'sample', '')
    """
    return next(iter(COMMANDS.get(plain(word), ())), "")
