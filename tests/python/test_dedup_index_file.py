"""Files of the index: as docs/dedup-index-format.md says, replaced whole, rejected when damaged or hostile."""

import os
import struct
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash

from mithril import CorruptError, StorageError, TruncatedError, UnsupportedError
from mithril.dedup import BloomIndex, DedupConfig, Index, Sketcher
from tests.python.dedup_texts import made_texts
from tests.reference.dedup_index import changed, directory_of, places, read_index

CONFIG = DedupConfig(threshold=0.8)


@pytest.fixture
def saved(tmp_path) -> Path:
    index = Index(CONFIG)
    index.add(made_texts(40, 11))
    index.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_failed_save_leaves_the_file(saved, tmp_path) -> None:
    before = saved.read_bytes()
    index = Index.open(saved)
    index.add(["more"])
    with pytest.raises(StorageError):
        index.save(tmp_path / "no such folder" / "index")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(StorageError):
        index.save(folder)
    assert saved.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["folder", "index"]


def test_links_stay_and_devices_too(saved) -> None:
    link = saved.with_name("link")
    link.symlink_to("to")
    link.with_name("to").symlink_to("index")
    index = Index.open(link)
    index.add(["more"])
    index.save(link)
    assert os.readlink(link) == "to"
    assert len(Index.open(saved)) == 41
    out = saved.with_name("out")
    out.symlink_to("/proc/self/fd/1")
    for device in ("/dev/stdout", "/dev/null", out):
        with pytest.raises(StorageError, match="not a regular file"):
            index.save(device)
        with pytest.raises(StorageError, match="not a regular file"):
            BloomIndex(CONFIG, expected_documents=1).save(device)
    assert out.is_symlink()
    BloomIndex(CONFIG, expected_documents=1).save(link)
    assert os.readlink(link) == "to"
    assert len(BloomIndex.load(saved)) == 0


def test_an_open_index_survives_its_replacement(saved) -> None:
    index = Index.open(saved)
    expected = index.query(made_texts(40, 11)).ids.tolist()
    Index(CONFIG).save(saved)
    assert index.query(made_texts(40, 11)).ids.tolist() == expected
    assert len(Index.open(saved)) == 0


def test_damaged_files(saved) -> None:
    good = saved.read_bytes()
    for damaged, error, message in (
        (b"", TruncatedError, r"header needs 64 bytes, there are 0"),
        (b"{}" + good, CorruptError, r"not a dedup index of mithril \(wrong magic, offset 0\)"),
        (good[:-1], TruncatedError, r"no footer at the end"),
        (good[:-200], TruncatedError, r"no footer at the end"),
        (good[:100], TruncatedError, r"100 bytes are too few"),
        (good + b"x", TruncatedError, r"bytes follow it"),
    ):
        saved.write_bytes(damaged)
        for opened in (Index.open, Index.load):
            with pytest.raises(error, match=f"index: .*{message}"):
                opened(saved)
    middle = bytearray(good)
    middle[len(good) // 2] ^= 1  # among the texts: found when it is read
    saved.write_bytes(middle)
    index = Index.open(saved)
    with pytest.raises(CorruptError, match=r"section text_bytes: checksum does not match \(offset \d+\)"):
        index.check()
    with pytest.raises(CorruptError, match="section text_bytes"):
        index.save(saved.parent / "copy")  # damage is not copied under a checksum of its own
    assert not (saved.parent / "copy").exists()
    with pytest.raises(CorruptError, match=r"section text_bytes"):
        Index.load(saved)
    with pytest.raises(StorageError):
        Index.open(saved.parent / "nothing here")


@pytest.mark.parametrize("kind", ["automatic", "numbers", "texts"])
def test_files_are_as_the_format_says(kind, tmp_path) -> None:
    texts = ["always the same text"] * 131 + made_texts(30, 12)
    ids = {"automatic": None, "numbers": range(-5, len(texts) - 5), "texts": [f"ö{i}" for i in range(len(texts))]}[kind]
    index = Index(CONFIG)
    for first in (0, 131, 140):  # of different sizes, so some are merged in memory, all on saving
        last = {0: 131, 131: 140, 140: len(texts)}[first]
        index.add(texts[first:last], ids=None if ids is None else list(ids)[first:last])
    index.save(tmp_path / "index")
    fields, sections = read_index((tmp_path / "index").read_bytes())
    sketches = Sketcher(CONFIG).sketch(texts)
    n = len(texts)
    assert (fields["documents"], fields["seen"], fields["threshold"], fields["permutations"]) == (n, n, 0.8, 128)
    assert (fields["form"], fields["ids"]) == (1, ["automatic", "numbers", "texts"].index(kind))
    if kind == "texts":
        ends = np.frombuffer(sections["ids"], np.uint64)
        assert [sections["id_bytes"][a:b].decode() for a, b in pairwise(ends)] == ids
    else:
        assert np.frombuffer(sections["ids"], np.int64).tolist() == list(range(n) if ids is None else ids)
    assert sections["digests"] == sketches.digests.tobytes()
    hashes = sorted((xxhash.xxh3_128_intdigest(t.encode()) for t in texts), key=lambda h: (h % 2**64, h >> 64))
    assert sections["hashes"] == b"".join(struct.pack("<QQ", h % 2**64, h >> 64) for h in hashes)
    owners = np.frombuffer(sections["hash_numbers"], np.uint32)
    assert [xxhash.xxh3_128_intdigest(texts[k].encode()) for k in owners] == hashes
    assert sections["text_bytes"] == "".join(texts).encode()
    assert np.frombuffer(sections["text_offsets"], np.uint64)[-1] == len(sections["text_bytes"])
    for band in range(fields["bands"]):
        entries = sorted(int(key) << 32 | k for k, key in enumerate(sketches.keys[:, band]) if not 128 <= k < 131)
        assert np.frombuffer(sections[f"band {band}"], np.uint64).tolist() == entries


HOSTILE = {  # field: offset in the directory, form, value, kind of the error
    "sketch_version": (0, "<I", 2, UnsupportedError),
    "permutations": (4, "<I", 2**31, CorruptError),
    "num_permutations": (4, "<I", 130, CorruptError),  # fits, but the digests do not
    "bands": (8, "<I", 0, CorruptError),
    "rows": (12, "<I", 1000, CorruptError),
    "ngram_size": (24, "<I", 65, CorruptError),
    "form": (28, "<B", 3, UnsupportedError),
    "fold_case": (29, "<B", 2, CorruptError),
    "reserved": (31, "<B", 1, CorruptError),
    "measure": (32, "<B", 2, UnsupportedError),
    "stores_texts": (34, "<B", 0, CorruptError),
    "ids": (35, "<B", 2, CorruptError),
    "threshold": (40, "<d", 0.0, CorruptError),
    "threshold nan": (40, "<d", float("nan"), CorruptError),
    "documents": (48, "<Q", 2**32 - 1, CorruptError),
    "documents more": (48, "<Q", 41, CorruptError),
    "seen": (56, "<Q", 39, CorruptError),
    "section_offset": (64, "<Q", 128, CorruptError),
    "section_size": (72, "<Q", 2**63, CorruptError),
}


@pytest.mark.parametrize("field", HOSTILE)
def test_hostile_fields_with_right_checksums(field, saved) -> None:
    good = saved.read_bytes()
    at, form, value, kind = HOSTILE[field]
    try:
        saved.write_bytes(changed(good, directory_of(good)[0] + at, form, value))
    except struct.error:  # the place of the sections is not to be found; then their checksums do not matter
        pytest.fail("not a change of the directory alone")
    with pytest.raises(kind, match=r"index: .*\(offset \d+\)"):
        Index.open(saved)


def test_hostile_sections_with_right_checksums(saved) -> None:
    good = saved.read_bytes()
    texts = made_texts(40, 11)
    offsets = {name: offset for name, (offset, _) in places(good).items()}
    for section, at, form, value in (
        ("hash_numbers", 0, "<I", 40),
        ("hash_numbers", 4, "<I", struct.unpack_from("<I", good, offsets["hash_numbers"])[0]),
        ("hashes", 0, "<Q", 2**64 - 1),
        ("text_offsets", 0, "<Q", 1),
        ("text_offsets", 8, "<Q", 2**64 - 1),
        ("text_offsets", 320, "<Q", 1),
        ("band 0", 0, "<I", 40),
        ("band 3", 8, "<Q", 0),
    ):
        saved.write_bytes(changed(good, offsets[section] + at, form, value))
        with pytest.raises(CorruptError, match=rf"section {section.partition('_')[0]}.*\(offset \d+\)"):
            Index.load(saved)
        index = Index.open(saved)
        with pytest.raises(CorruptError):
            index.check()
        with suppress(CorruptError):  # what is looked at may be right; the memory of others is never read
            index.query(texts)
            index.deduplicate(texts)
            index.save(saved.parent / "again")
