"""Studies to draw pages of, and texts that would be markup or a script if a page let them."""

from __future__ import annotations

import numpy as np
import torch
from checkpoint_files import tiny

from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.insight.study import Study, study

HOSTILE = [
    "</script><script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "<svg/onload=window.hit=1>",
    "<!--<script>", "-->", "]]>", "<![CDATA[", "&lt;script&gt;", "&#60;script&#62;window.hit=1", "\"'`><b>",
    "' onmouseover='window.hit=1", "javascript:window.hit=1", "<iframe src=data:text/html,x>", "<style>*{display:none}",
    "</style>", "</title>", "</textarea>", "<base href=//x>", "<meta http-equiv=refresh content=0>", "{{7*7}}",
    "${window.hit=1}", "\\u003cscript\\u003e",
    "\x00\x01\x02", "\x1b[31m\x1b]0;x\x07", "\x7f\x80\x9b", "\u202eabc\u2066",
    "\u2028\u2029", "\ufeff\ufffe\uffff", "\u200b\u200d\u00ad", "e\u0301\u0302", "\U0001f468\u200d\U0001f469",
    "\t\r\n\x0b\x0c", "\u4e2d\u6587\uff0c\u300c\u300d", "\u0627\u0644\u0639", "<a href=//x>x</a>",
    "<link rel=stylesheet>", "<object data=x>", "<form action=//x>",
    "<input autofocus onfocus=window.hit=1>", "%3Cscript%3E",
]  # fmt: skip


def study_of(text: str, *, name: str = "model", of_bytes: bool = False, cell: str = "lstm", **values: object) -> Study:
    """A study of a small model with weights by chance, whose alphabet is that of the text."""
    torch.set_num_threads(
        1
    )  # threads that wait for each other in sums this small cost seconds; conftest sets them back
    raw = text.encode()
    vocab = Vocabulary(tuple(sorted(set(raw))), of_bytes=True, is_utf8=True) if of_bytes else Vocabulary.of_text(text)
    ids = vocab.encode(text).astype(np.uint16)
    return study(tiny(cell, vocab, **values), Part(ids), name=name, text_name=name)


def hostile_study() -> Study:
    return study_of("\n".join(HOSTILE) * 2 + "\n", name="a</script><script>window.hit=1</script>\x1b\u202e\u4e2d")
