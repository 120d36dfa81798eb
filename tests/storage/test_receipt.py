"""A receipt is read as it was written, or refused in a line, whatever its bytes are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receipt_files import right, signed, with_part

from charnet.config import SamplingOptions
from charnet.errors import ReceiptError
from charnet.storage.receipt import LONGEST_TEXT, MOST_TEXTS, Receipt, parse, read, sha256
from charnet.storage.strict_json import MOST_CHARACTERS

PATH = Path("r.json")


def parsed(text: str) -> Receipt | None:
    """The receipt in a text, or nothing where it is refused as it should be."""
    try:
        return parse(PATH, text)
    except ReceiptError as error:
        message = str(error)
        assert message.startswith("r.json: ")
        assert message.isprintable()
        assert len(message) < 500
        return None


def refusal(text: str) -> str:
    with pytest.raises(ReceiptError) as caught:
        parse(PATH, text)
    assert parsed(text) is None
    return str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff\x7f\x1b")),
    st.builds(
        SamplingOptions,
        seed=st.integers(0, 10**199),
        temperature=st.floats(0, 100),
        stop=st.lists(texts.filter(bool)).map(tuple),
        logit_bias=st.lists(st.tuples(st.characters(exclude_categories=["Cs"]), st.floats(-1000, 1000))).map(tuple),
        ban=texts,
    ),
)
@settings(max_examples=50, deadline=None)
def test_a_receipt_is_read_as_it_was_written(prompt: str, options: SamplingOptions) -> None:
    receipt = right(prompt=prompt, prompt_sha256=sha256(prompt), options=options)
    assert receipt.excess(2) == ""
    assert parse(PATH, receipt.to_text()) == receipt
    assert receipt.to_text().isascii()
    assert "\x7f" not in receipt.to_text()


def test_a_receipt_of_a_private_prompt_and_one_of_a_machine_are_read_as_they_were_written() -> None:
    for receipt in (right(prompt=None), right(exact=False, precision="fp32", machine={"numpy": "2.0"})):
        assert parse(PATH, receipt.to_text()) == receipt


def test_every_change_of_a_byte_is_noticed() -> None:
    text = right().to_text()
    values = json.loads(text)
    raw = text.encode()
    for at in range(len(raw)):
        for byte in (raw[at] ^ 1, raw[at] ^ 0x20, raw[at] ^ 0x80):
            changed = bytes([*raw[:at], byte, *raw[at + 1 :]]).decode("utf-8", "replace")
            assert parsed(changed) is None or json.loads(changed) == values  # only white space is another


def test_a_receipt_that_was_cut_is_noticed_at_every_length() -> None:
    text = right().to_text()
    for length in range(len(text) - 2):
        assert parsed(text[:length]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no JSON of its kind"),
        ("[" * 100_000, "no JSON of its kind"),
        ("[" * 100_001, "a file that is too large"),
        ('{"receipt": 1, "receipt": 1}', "no JSON of its kind"),
        ('{"receipt": NaN}', "no JSON of its kind"),
        ('{"receipt": 1' + "0" * 300 + "}", "no JSON of its kind"),
        ("[1]", "no number of its format"),
        ('{"receipt": true}', "no number of its format"),
        ('{"receipt": 0}', "no number of its format"),
        ('{"receipt": 2}', "a receipt of format 2, this charnet reads up to 1"),
        ('{"receipt": 1}', 'no field "arithmetic"'),
    ],
    ids=range(11),
)
def test_what_is_no_receipt_is_refused(text: str, expected: str) -> None:
    assert expected in refusal(text)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("more\x1b[2J", 1, r'an unknown field "more\x1b[2J"'),
        ("charnet", "x" * 1001, "another value of charnet"),
        ("arithmetic", 1.0, "another value of arithmetic"),
        ("exact", 1, "another value of exact"),
        ("exact", False, "weights that are exact and are not"),
        ("checkpoint", "/dev/zero", "another value of checkpoint"),
        ("checkpoint", "../a", "another value of checkpoint"),
        ("checkpoint", "a\\..\\b", "another value of checkpoint"),
        ("checkpoint", "a\0", "another value of checkpoint"),
        ("checkpoint_sha256", "AB" * 32, "another value of checkpoint_sha256"),
        ("precision", "fp64", "another value of precision"),
        ("machine", {"numpy": 2}, "another value of machine"),
        ("machine", dict.fromkeys("abcdefghijklmnopqrstuvwxyz", ""), "another value of machine"),
        ("prompt", "\ud800", "another value of prompt"),
        ("prompt", "ac", "a prompt that has another SHA-256"),
        ("unknown", "drop", "another value of unknown"),
        ("samples", 2, "another number of texts"),
        ("samples", 10**12 + 1, "another value of samples"),
        ("index", 2, "another number of texts"),
        ("texts", [], "another number of texts"),
        ("texts/0/bytes", -1, "another value of texts"),
        ("texts/0/more", 1, "another value of texts"),
        ("options/length", True, "-n: expected a whole number, found True"),
        ("options/length", LONGEST_TEXT + 1, "texts longer than there can be"),
        ("options/seed", -1, "--seed: expected a number at least 0"),
        ("options/temperature", True, "--temp: expected a number, found True"),
        ("options/stop", [["a"]], "--stop: expected texts"),
        ("options/stop", ["\udc80"], "halves of characters"),
        ("options/stop", "a", "stop: expected a list"),
        ("options/logit_bias", [["ab", 1.0]], "--logit-bias: expected a character"),
        ("options/x\x9b", 1, r'there is no sampling option "x\x9b"'),
        ("options", [], "another value of options"),
    ],
)
def test_an_impossible_value_is_refused_and_named(key: str, value: Any, expected: str) -> None:
    assert expected in refusal(with_part(right().to_text(), key, value))


def test_a_number_beyond_all_floats_is_refused() -> None:
    text = right().to_text().replace('"temperature": 0.8', '"temperature": 1e999')
    assert "changed or is damaged" in refusal(text) or "invalid options" in refusal(text)


def test_a_changed_value_with_the_old_checksum_is_a_changed_receipt() -> None:
    assert "the receipt was changed or is damaged" in refusal(right().to_text().replace('"samples": 3', '"samples": 4'))


def test_a_receipt_that_a_browser_has_written_again_is_the_same() -> None:
    receipt = right(options=SamplingOptions(temperature=1.0, top_p=0.9, logit_bias=(("e", -2.0),)))
    browsers = json.dumps(
        json.loads(receipt.to_text(), parse_float=lambda n: int(n[:-2]) if n[-2:] == ".0" else float(n))
    )
    assert '"temperature": 1,' in browsers
    assert parse(PATH, browsers) == receipt
    assert "was changed or is damaged" in refusal(browsers.replace('"temperature": 1,', '"temperature": 2,'))
    assert "was changed or is damaged" in refusal(browsers.replace('"temperature": 1,', '"temperature": -2,'))


def test_an_option_that_an_earlier_version_did_not_have_gets_its_default() -> None:
    fields = json.loads(right().to_text())
    del fields["options"]["typical_p"]
    assert parse(PATH, signed(fields)) == right()


def test_a_receipt_that_could_not_be_read_again_is_refused_before_it_is_written() -> None:
    assert (
        right().excess(MOST_TEXTS)
        == "the prompt or an option is too large for it; --receipt-private leaves the prompt out"
    )
    assert right(samples=MOST_TEXTS, index=0).excess(MOST_TEXTS) == ""
    assert right().excess(MOST_TEXTS + 1).startswith("at most 10,000 texts fit in it")
    assert "of at most 100,000,000 characters" in right(options=SamplingOptions(length=LONGEST_TEXT + 1)).excess(1)
    for prompt in ("a" * MOST_CHARACTERS, "," * 100_001, "я" * (MOST_CHARACTERS // 6)):
        found = right(prompt=prompt, prompt_sha256=sha256(prompt)).excess(1)
        assert found.endswith("--receipt-private leaves the prompt out")
        assert right(prompt=None, prompt_sha256=sha256(prompt)).excess(1) == ""
    assert (
        right(prompt=None, options=SamplingOptions(seed=10**200)).excess(1)
        == "the prompt or an option is too large for it"
    )


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name, expected in (("missing", "there is no such receipt"), ("bytes", "bytes that are not UTF-8")):
        with pytest.raises(ReceiptError, match=expected):
            read(tmp_path / name)
