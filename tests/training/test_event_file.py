"""TensorBoard's event files: its own reader reads back what was written."""

from __future__ import annotations

import importlib
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

from charnet.training.event_file import EventFile, _masked_crc, crc32c


def test_the_checksum_is_that_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # appendix B.4
    assert crc32c(bytes([0xFF]) * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_each_record_stands_between_its_length_and_its_checksums(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "tensorboard")
    file.write(3, {"loss/train": 1.5})
    file.close()
    raw, records = file.path.read_bytes(), []
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        data = raw[12 : 12 + length]
        assert raw[8:12] == _masked_crc(raw[:8])
        assert raw[12 + length : 16 + length] == _masked_crc(data)
        records.append(data)
        raw = raw[16 + length :]
    assert b"brain.Event:2" in records[0]
    assert b"loss/train" in records[2]
    assert len(records) == 3


def test_a_later_file_has_a_later_name(tmp_path: Path) -> None:
    first, second, third = (EventFile(tmp_path) for _ in range(3))
    assert first.path.name < second.path.name < third.path.name
    for file in (first, second, third):
        file.close()


class Reader:
    """What TensorBoard shows of a folder of event files."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pytest.importorskip(
                "tensorboard.backend.event_processing.plugin_event_accumulator", reason="tensorboard is not installed"
            )
            self._to_array = importlib.import_module("tensorboard.util.tensor_util").make_ndarray
            self.all = found.EventAccumulator(str(folder), {"tensors": 0})
            self.all.Reload()

    def values(self, tag: str) -> dict[int, Any]:
        """Returns the values of a tag by their steps, which are in the order of the events."""
        events = self.all.Tensors(tag)
        found = {event.step: self._to_array(event.tensor_proto).flatten()[0] for event in events}
        assert len(found) == len(events)
        return found

    def plugin(self, tag: str) -> str:
        return self.all.SummaryMetadata(tag).plugin_data.plugin_name


def test_tensorboard_reads_numbers_and_texts(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    for step in (0, 127, 128, 2**40):
        file.write(step, {"loss/train": step / 3, "speed": 1e39})
    hostile = "</script>\n# 中文\x1b[2J\udce9"
    file.write(7, {"sample": hostile})
    file.close()
    found = Reader(tmp_path)
    assert found.values("loss/train") == pytest.approx({step: step / 3 for step in (0, 127, 128, 2**40)}, rel=1e-6)
    assert found.plugin("loss/train") == "scalars"
    (text,) = found.values("sample").values()
    assert text.decode().split("\n") == ["    </script>", "    # 中文\x1b[2J?", ""]
    assert found.plugin("sample") == "text"


def test_tensorboard_drops_the_steps_that_are_done_again(tmp_path: Path) -> None:
    first = EventFile(tmp_path)
    for step in range(1, 8):
        first.write(step, {"loss/train": 1.0})
    first.close()
    again = EventFile(tmp_path, 4)
    again.write(5, {"loss/train": 2.0})
    again.close()
    assert Reader(tmp_path).values("loss/train") == {1: 1, 2: 1, 3: 1, 4: 1, 5: 2}
