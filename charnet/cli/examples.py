"""The examples in the help of each command, and the options that everyone needs."""

from __future__ import annotations

EXAMPLES: dict[str, dict[str, str]] = {
    "": {
        "train": "train on the fables that come with charnet",
        "train book.txt --for 20m": "train on your text for twenty minutes",
        "sample": "let the newest model write",
        "train --help": "show the options of a command",
    },
    "train": {
        "train": "the fables that come with charnet, five minutes",
        "train book.txt --for 20m": "a text of yours, twenty minutes",
        "train names.txt --lines": "every line is a text of its own",
        "train --resume book": "go on with a run that was interrupted",
    },
    "sample": {
        "sample": "a thousand characters by the newest model",
        "sample book -n 5000 --out new.txt": "a longer text, by one run, to a file",
        "sample -p 'Once upon a time' -t 0.6": "go on from a beginning, less daring",
        "sample -i": "write in turns",
    },
    "replay": {
        "sample -n 500 --receipt story.json": "write a text and its receipt",
        "replay story.json": "write the same text again",
    },
    "sweep": {
        "sweep book.txt --try cell=lstm,gru --for 20m": "which cell is better for this text?",
        "sweep --try dropout=0,0.2,0.4 --try num_layers=1,2": "all six combinations",
    },
    "runs": {
        "runs": "the newest run first",
        "runs --sort best": "the best run first",
        "runs book book-2 -o curves.svg": "compare two runs, with a figure",
    },
    "inspect": {
        "inspect": "the newest run",
        "inspect book --verify": "check every file of a run",
    },
    "eval": {
        "eval book other.txt": "how well does this run know another text?",
        "eval book other.txt --dynamic": "and how well if it learns while it reads?",
        "eval book other.txt --show": "the text, colored by how much each character surprises",
    },
    "insight": {
        "insight": "the newest run, on the part of its text that was held out",
        "insight book -o book.html": "with figures, as a page",
        'insight book --find \'"[^"]*"\'': "which units know that they are inside quotation marks?",
    },
    "lesson": {
        "lesson": "three minutes on the fables; the page is lesson.html",
        "lesson book.txt --for 10m --language zh": "a text of yours, a page in Chinese",
    },
    "corpus": {
        "corpus info book.txt": "describe a text before training on it",
        "corpus list": "the texts that charnet knows by name",
    },
    "corpus info": {
        "corpus info book.txt": "characters, lines, entropy, and advice",
        "corpus info names.csv --field name": "one column of a table",
    },
    "corpus list": {"corpus list": "names, sizes, and which are here"},
    "corpus get": {"corpus get tiny-shakespeare": "fetch it, and print where it is"},
    "compress": {
        "compress book.txt": "write book.txt.cnz with the newest model",
        "compress book.txt --compare": "beside xz, bzip2, zstd and PPMd",
    },
    "decompress": {"decompress book.txt.cnz": "write book.txt, byte for byte"},
    "cache": {"cache list": "show what is there", "cache clear --down-to 1G": "keep the newest, up to 1 GB"},
    "cache list": {"cache list": "copies, sizes and times"},
    "cache clear": {
        "cache clear": "remove all copies",
        "cache clear --down-to 1G": "keep the newest, up to 1 GB",
    },
    "serve": {
        "serve": "the newest run, at http://127.0.0.1:8765",
        "serve book poems --port 9000": "two runs, at another port",
    },
    "export": {
        "export --html": "a page in which the newest model writes, offline",
        "export book --onnx -o book.onnx": "a graph for ONNX Runtime",
    },
    "import": {
        "import lm_epoch10.t7 --name tiny": "a model of torch-rnn or char-rnn; then charnet sample tiny",
        "import lm.safetensors --alphabet chars.txt": "a model of PyTorch, with its characters",
    },
    "quantize": {"quantize book": "write a copy with 8-bit weights"},
    "guide": {
        "guide": "list the pages",
        "guide settings": "read a page",
        "guide --search dropout": "find lines",
    },
    "completion": {
        'eval "$(charnet completion bash)"': "in ~/.bashrc",
        'eval "$(charnet completion zsh)"': "in ~/.zshrc, after compinit",
        "charnet completion fish | source": "in ~/.config/fish/config.fish",
    },
    "doctor": {"doctor": "versions, processor, memory, folders"},
    "bench": {
        "bench train": "how fast does each cell train?",
        "bench sample": "how fast does each engine write?",
    },
    "bench train": {"bench train": "a few minutes"},
    "bench sample": {"bench sample": "a few minutes"},
    "bench controls": {"bench controls": "a few minutes"},
}

# Eight of each command that has more than fourteen, in the order in which they are shown.
ESSENTIAL: dict[str, tuple[str, ...]] = {
    "train": ("--for", "--lines", "--name", "--cell", "--hidden-size", "--device", "--resume", "--init-from"),
    "sample": ("--prompt", "--length", "--temp", "--interactive", "--until", "--lines", "--max-copy", "--out"),
    "eval": ("--show", "--out", "--encoding", "--glob", "--documents", "--dynamic", "--per-line", "--json"),
    "corpus info": (
        *("--encoding", "--glob", "--bytes", "--documents", "--field", "--lowercase", "--min-count", "--json"),
    ),
}
