"""Every command: its group in `charnet --help`, and what it does in a line."""

from __future__ import annotations

GROUPS = {
    "Write": {
        "train": "train a model on a text",
        "sample": "write new text with a model",
        "replay": "write the texts of a receipt again",
        "sweep": "find good settings by short trainings",
    },
    "Look inside": {
        "runs": "list the runs, or compare some",
        "inspect": "show the model, the text and the settings of a run",
        "eval": "measure how well a model knows a text",
        "insight": "show what a model expects and what its units track",
        "lesson": "explain recurrent networks with runs on your text",
    },
    "Texts": {
        "corpus": "describe a text, or fetch a well-known one",
        "compress": "make a text smaller with a model",
        "decompress": "restore a compressed text",
        "cache": "list or remove the encoded copies of texts",
    },
    "Share": {
        "serve": "serve models over HTTP, with a page to write in",
        "export": "write a model as a web page, as ONNX or as plain weights",
        "import": "turn a model of torch-rnn, PyTorch or Keras into a run",
        "quantize": "make a copy of a model with 8-bit weights",
    },
    "Help and machine": {
        "guide": "read the guide: how to do what, and all settings",
        "completion": "let the Tab key complete commands, options and runs",
        "doctor": "show what a bug report needs",
        "bench": "measure how fast this machine trains and writes",
    },
}
SUMMARIES = {name: summary for group in GROUPS.values() for name, summary in group.items()}
