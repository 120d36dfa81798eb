"""The page in a real browser: the same seed gives the text of the command, character for character."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import tiny
from chromium import chromium, opened
from exported_pages import MODELS, file_of, text_of_the_command
from test_engines import KINDS, build, with_ngram

from charnet.config import Config, SamplingOptions
from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.engines import agreement
from charnet.engines.registry import open_engine
from charnet.errors import CharnetError
from charnet.generation import receipts
from charnet.generation.batch import texts
from charnet.overlay import overlay
from charnet.storage import receipt as receipt_file
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.quantize import QuantizedMatrix

pytestmark = pytest.mark.browser

WITHOUT = "delete globalThis.WebAssembly"
WITHOUT_SIMD = "WebAssembly.Module = function () { throw new WebAssembly.CompileError('no SIMD'); }"
BOTH = pytest.mark.parametrize("script", ["", WITHOUT], ids=["WebAssembly", "JavaScript"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def choices(vocab: Vocabulary) -> list[dict[str, Any]]:
    """Ten seeds with prompts, lengths, temperatures, stop criteria and filters."""
    known = [vocab.decode([i]) for i in range(len(vocab)) if not vocab.of_bytes or vocab.symbols[i] < 0x80]
    known = [each for each in known if each not in ("\ufffd", "\x1e")]
    more: list[dict[str, Any]] = [
        *({}, {"stop": [known[-1]]}, {"top_k": 2}, {"top_p": 0.6}, {"min_p": 0.3}, {"max_lines": 2}),
        *({"stop": [known[0] + known[-1], known[-1] * 2]}, {"temperature_end": 2.0}, {"length": 1}, {"length": 0}),
    ]
    return [
        {"seed": 2**seed, "prompt": "".join(known[:seed])[:5], "length": 90 - 7 * seed,
         "temperature": (0.8, 0.0, 1.0, 1.4)[seed % 4], **options} for seed, options in enumerate(more)
    ]  # fmt: skip


WRITE_ALL = """async (all) => {
  const found = [];
  for (const each of all) found.push(Array.from(toUtf8(await charnet.write(each))));
  return found;
}"""


@BOTH
@pytest.mark.parametrize("name", MODELS)
def test_ten_seeds_give_the_text_of_the_command(name: str, script: str, browser: Any, tmp_path: Path) -> None:
    checkpoint = MODELS[name]()
    engine, asked = open_engine(checkpoint.quantize()), choices(checkpoint.vocab)
    expected = [text_of_the_command(checkpoint, engine, **each) for each in asked]
    with opened(browser, file_of(checkpoint, tmp_path), script=script) as tab:
        assert tab.evaluate("charnet.engine") == ("JavaScript" if script else "WebAssembly")
        found = [bytes(text).decode("utf-8", "surrogateescape") for text in tab.evaluate(WRITE_ALL, asked)]
    assert found == expected
    assert len(set(expected)) > 5


def reference(cell: str, activation: str) -> Checkpoint:
    """The reference model of a cell, whose logits have a digest that is the same on every machine."""
    _, weights = agreement.reference(cell, activation)
    tensors = {}
    for name, weight in weights.items():
        of_bytes = isinstance(weight, QuantizedMatrix)
        tensors[f"model.{name}"] = weight.values if of_bytes else weight
        if of_bytes:
            tensors[f"model.{name}.scale"] = weight.scale
    sizes = {"num_layers": 2, "hidden_size": agreement.UNITS, "embedding_size": 24}
    values = {"cell": cell, "activation": activation, **sizes}
    config = overlay(Config(), {f"model.{name}": value for name, value in values.items()})
    vocab = Vocabulary(tuple(range(40, 40 + agreement.ALPHABET)))
    return Checkpoint(config, vocab, CorpusInfo("none", 0, 0, 1, "", ""), TrainerState(), tensors)


DIGEST = """(texts) => {
  const all = new Float32Array(texts.length * texts[0].length * alphabet.size);
  let at = 0;
  for (const ids of texts) {
    const state = model.start();
    for (const id of ids) { all.set(model.advance(id, state), at); at += alphabet.size; }
  }
  return sha256(new Uint8Array(all.buffer));
}"""


@BOTH
@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_the_logits_of_each_cell_have_the_digest_that_they_have_on_every_machine(
    cell: str, activation: str, script: str, browser: Any, tmp_path: Path
) -> None:
    numbers = np.random.Philox(key=np.array([18, 0], np.uint64)).random_raw(agreement.TEXTS * agreement.LENGTH)
    ids_BT = ((numbers >> np.uint64(40)) % agreement.ALPHABET).astype(int).reshape(agreement.TEXTS, -1)
    with opened(browser, file_of(reference(cell, activation), tmp_path), script=script) as tab:
        assert tab.evaluate(DIGEST, ids_BT.tolist()) == agreement.DIGESTS[f"{cell}-{activation}"]


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_sums_beyond_the_integers_of_single_precision_are_rounded_once(cell: str, browser: Any, tmp_path: Path) -> None:
    sizes = {"model.hidden_size": 1100, "model.activation": "relu" if cell == "rnn" else "tanh"}
    checkpoint = tiny(cell, Vocabulary.of_text("abc"), **sizes)
    random, tensors = np.random.default_rng(3), dict(checkpoint.tensors)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensors[name] = random.uniform(0.5, 1, tensor.shape).astype(np.float32)
    checkpoint = dataclasses.replace(checkpoint, tensors=tensors)
    state = (engine := open_engine(checkpoint.quantize())).start(1)
    logits = []
    for i in (0, 1, 2, 0):
        logits_1V, state = engine.advance([i], state)
        logits.append(logits_1V[0].tolist())
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        code = "() => { const s = model.start(); return [0, 1, 2, 0].map((i) => Array.from(model.advance(i, s))); }"
        assert tab.evaluate(code) == logits


def test_without_simd_the_page_writes_in_plain_javascript(browser: Any, tmp_path: Path) -> None:
    with opened(browser, file_of(build(), tmp_path), script=WITHOUT_SIMD) as tab:
        assert tab.evaluate("charnet.engine") == "JavaScript"


READ = "([text, skip]) => { try { return alphabet.read(text, skip).text; } catch (error) { return null; } }"


@pytest.mark.parametrize(
    "settings",
    [{}, {"newlines": "lf", "normalize": "nfc"}, {"normalize": "nfkc", "lowercase": True}, {"documents": "file"}],
    ids=["as it is", "nfc", "nfkc in lower case", "documents"],
)
@pytest.mark.parametrize("letters", ["aé\n ，７ǆi\u0307", "ae\u0301b\r\n ,7！ｶﾞガ"], ids=["composed", "decomposed"])
def test_a_prompt_is_read_as_the_command_reads_it(
    settings: dict[str, Any], letters: str, browser: Any, tmp_path: Path
) -> None:
    values = {f"data.{name}": each for name, each in settings.items()}
    checkpoint = tiny(vocab=Vocabulary.of_text(letters + "\x1e"), **values)
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        for text in ("é", "e\u0301", "A, 7", "，７！", "a\r\nb\ra", "İI\u0307", "ガ", "ｶﾞ", "\ufeffa", "😀a", "ǅ", ""):
            for skip in (False, True):
                try:
                    expected, _, _ = prompts.read(
                        text.removeprefix("\ufeff"), checkpoint.vocab, checkpoint.config.data, skip_unknown=skip
                    )
                except CharnetError:
                    expected = None
                assert tab.evaluate(READ, [text, skip]) == expected, (text, skip)


def receipt_of(checkpoint: Checkpoint, prompt: str, count: int, **options: Any) -> str:
    """The receipt of some texts, as `charnet sample --quantize int8 --receipt` writes it."""
    engine, settings = open_engine(checkpoint.quantize()), SamplingOptions(**options)
    ids = checkpoint.vocab.encode(prompt).tolist()
    draft = receipts.draft(
        engine, checkpoint.vocab, settings, checkpoint="a/best.safetensors", checkpoint_sha256=checkpoint.sha256,
        prompt=prompt, is_private=False, echo=True, unknown="error", lines=False, samples=count,
    )  # fmt: skip
    recorder = receipts.Recorder(draft, prompt, receipts.line_end(checkpoint.vocab, lines=False))
    for text in recorder.watch(texts(engine, checkpoint.vocab, ids, settings, count)):
        assert list(text)
    return recorder.receipt().to_text()


def stored(name: str, folder: Path) -> Checkpoint:
    """A model as it comes out of its file."""
    checkpoint = MODELS[name]() if name in MODELS else tiny()
    checkpoint.save(folder / "best.safetensors")
    return Checkpoint.load(folder / "best.safetensors")


VERIFY = "(text) => charnet.verify(text).then((found) => found.length, (error) => error.message)"
SEALED = """(text) => { const fields = parseTagged(text); delete fields.sreceipt_sha256; fields.soptions.sban = "sa";
  fields.sreceipt_sha256 = "s" + digest(canonical(fields)).sha256; return canonical(fields); }"""


@pytest.mark.parametrize("name", ["tiny", "of tales", "of joining characters", "of bytes"])
def test_the_page_verifies_a_receipt_of_the_command(name: str, browser: Any, tmp_path: Path) -> None:
    checkpoint = stored(name, tmp_path)
    text = receipt_of(checkpoint, checkpoint.vocab.decode([0, 1]), 3, length=40, seed=2**70, temperature=1.0)
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        assert tab.evaluate(VERIFY, text) == 3
        assert "changed or is damaged" in tab.evaluate(VERIFY, text.replace('"length": 40', '"length": 41'))
        assert "no such option" in tab.evaluate(VERIFY, tab.evaluate(SEALED, text))
        other = text.replace(checkpoint.sha256, "0" * 64)
        assert "changed" in tab.evaluate(VERIFY, other)
        for foreign in ("", "[]", "{", '{"receipt": 2}', '{"receipt": 1}', "null", '"receipt"', "\x00", "7"):
            assert "receipt" in tab.evaluate(VERIFY, foreign)


@pytest.mark.parametrize("name", ["tiny", "of tales", "of joining characters", "of bytes"])
def test_the_command_verifies_a_receipt_of_the_page(name: str, browser: Any, tmp_path: Path) -> None:
    checkpoint = stored(name, tmp_path)
    prompt = checkpoint.vocab.decode([0, 1])
    for options in ({"length": 30, "temperature": 1}, {"length": 55, "seed": 7, "temperature": 0.7, "top_p": 0.95}):
        with opened(browser, file_of(checkpoint, tmp_path)) as tab:
            text = tab.evaluate("(asked) => charnet.receipt(asked)", {"prompt": prompt, **options})
        found = receipt_file.parse(Path("receipt.json"), text)
        receipts.check_checkpoint(found, checkpoint)
        engine = receipts.open_engine(found, checkpoint)
        assert not receipts.doubts(found, engine)
        _, written = receipts.replay(found, engine, checkpoint.vocab)
        assert len(list(written)) == 1


NUMBERS = [
    "{ min_p: 1e-7 }",
    "{ temperature: 0.00003 }",
    "{ top_p: 0.0001 }",
    "{ seed: 2n ** 70n }",
    "{ seed: 2 ** 53 - 1 }",
]


@pytest.mark.parametrize("option", NUMBERS)
def test_a_receipt_of_the_page_has_numbers_as_the_command_writes_them(
    option: str, browser: Any, tmp_path: Path
) -> None:
    checkpoint = stored("tiny", tmp_path)
    prompt = checkpoint.vocab.decode([1])
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        code = f"(prompt) => charnet.receipt({{ prompt, length: 9, ...{option} }})"
        text = tab.evaluate(code, prompt)
        assert tab.evaluate(VERIFY, text) == 1
    found = receipt_file.parse(Path("receipt.json"), text)
    _, written = receipts.replay(found, receipts.open_engine(found, checkpoint), checkpoint.vocab)
    assert len(list(written)) == 1


def test_numbers_and_texts_of_a_receipt_keep_their_places(browser: Any, tmp_path: Path) -> None:
    fields = {
        "s": ["s", "n", "n1", 's"n', 'n1"', "\\", '\\"', ": ", '"s": "n2"', ""],
        "n": {"sn": 1.5, "a": None},
        "t": True,
    }
    with opened(browser, file_of(build(), tmp_path)) as tab:
        assert json.loads(tab.evaluate("toJson", fields)) == fields


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": 3}, "prompt: expected a text"),
    ({"prompt": None}, "prompt: expected a text"),
    ({"index": -1}, "index: "),
    ({"index": 0.5}, "index: "),
    ({"ban": "a"}, "ban: "),
    ({"lenght": 3}, "lenght: "),
    ({"length": -1}, "length: "),
    ({"seed": 0.5}, "seed: "),
    ({"temperature": "0.5"}, "temperature: "),
    ({"temperature": None}, "temperature: "),
    ({"stop": 7}, "stop: "),
    ({"prompt": "z"}, "does not know “z”"),
    ({"stop": "z"}, "stop: "),
]


def test_an_option_that_the_page_does_not_have_is_refused(browser: Any, tmp_path: Path) -> None:
    code = "(asked) => charnet.write(asked).then(() => '', (error) => error.message)"
    with opened(browser, file_of(build(), tmp_path)) as tab:
        for asked, expected in REFUSED:
            assert expected in tab.evaluate(code, asked)
        assert "top_k: " in tab.evaluate("charnet.write({ top_k: 3n }).then(() => '', (error) => error.message)")
        assert tab.evaluate("charnet.write({ prompt: 'az', unknown: 'skip', length: 0 })") == "a"


def test_the_next_characters_have_the_probabilities_of_the_model(browser: Any, tmp_path: Path) -> None:
    checkpoint = with_ngram(build(members=2))
    engine = open_engine(checkpoint.quantize())
    state = engine.start(1)
    for i in (1, 0, 3):
        logits_1V, state = engine.advance([i], state)
    p = np.exp(logits_1V[0].astype(float))
    expected = dict(zip("abcdefghijk", p / p.sum(), strict=True))
    with opened(browser, file_of(checkpoint, tmp_path)) as tab:
        tab.evaluate("charnet.next('ba')")
        found = tab.evaluate("charnet.next('bad', 11)")
        assert dict(found) == pytest.approx(expected, abs=1e-3)
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
