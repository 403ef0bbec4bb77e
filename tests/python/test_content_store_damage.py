"""Damage in a content store is a miss and is moved aside: every byte, every length, and what is no file at all."""

import json
import os
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import mithril
from mithril._errors import UntrustedError
from mithril.cache._content import ContentStore
from mithril.cache._record import MAGIC, MAX_RECORD_BYTES, decode_record, encode_record, make_record
from mithril.cache._trust import Trust

KEY = bytes(range(32))


def file_of(store: ContentStore, name: str, tree: str = "objects") -> Path:
    return store.root / tree / name[:2] / name[2:4] / name


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


def test_every_byte_and_length_of_an_object(store: ContentStore) -> None:
    data = random.Random(0).randbytes(600)
    address = store.put(data)
    path = file_of(store, address)
    wrong = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
    wrong += [data[:size] for size in range(len(data))]
    wrong += [data + b"\0", b"\0" + data]
    for number, content in enumerate(wrong, 1):
        path.write_bytes(content)
        assert store.get(address) is None
        assert not path.exists()
        assert len(os.listdir(store.root / "quarantine")) == number
        store.put(data)
        assert store.get(address) == data
    assert store.stats().quarantined == len(wrong)
    assert store.verify().damaged == ()


@pytest.mark.parametrize("trust", [Trust(), Trust("require", (KEY,))], ids=lambda trust: trust.policy)
def test_every_byte_and_length_of_a_record(tmp_path: Path, trust: Trust) -> None:
    store = ContentStore(tmp_path / "store", trust=trust)
    members = {"inline": random.Random(0).randbytes(200), "large": random.Random(1).randbytes(5000)}
    record = store.put_group("fx", "key", members, fingerprint="host", seconds=2)
    path = file_of(store, record.name, "records")
    sealed = path.read_bytes()
    wrong = [sealed[:at] + bytes([sealed[at] ^ 1 << at % 8]) + sealed[at + 1 :] for at in range(len(sealed))]
    wrong += [sealed[:size] for size in range(len(sealed))]
    wrong += [sealed + b"\0"]
    for content in wrong:
        path.write_bytes(content)
        assert store.get_group("fx", "key", fingerprint="host") is None
        assert not path.exists()
    assert store.stats().quarantined == len(wrong)
    path.write_bytes(sealed)
    group = store.get_group("fx", "key", fingerprint="host")
    assert group is not None
    assert group.members == members


def test_every_byte_of_a_member(store: ContentStore) -> None:
    data = random.Random(0).randbytes(5000)
    record = store.put_group("fx", "key", {"large": data, "small": b"x"})
    path = file_of(store, record.members[0].address)
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        assert store.has_group("fx", "key")  # does not read it
        assert store.get_group("fx", "key") is None
        assert store.stats().records == 0
        store.put_group("fx", "key", {"large": data, "small": b"x"})
        assert store.get_group("fx", "key") is not None


def test_a_record_that_lies_about_a_size_harms_no_object(store: ContentStore) -> None:
    address = store.put(bytes(9000))
    for size in (8999, 9001):
        description = {"namespace": "fx", "fingerprint": "", "key": str(size), "seconds": 0}
        description["members"] = [["a", size, address, False]]  # type: ignore[assignment]
        sealed = seal(json.dumps(description).encode(), b"")
        store.put_record(decode_record(sealed, Trust()).name, sealed)
        assert store.get_group("fx", str(size)) is None
        assert not store.has_group("fx", str(size))
    assert store.get(address) == bytes(9000)


def test_verify_finds_what_is_damaged(store: ContentStore) -> None:
    addresses = [store.put(b"%d" % number) for number in range(20)]
    records = [store.put_group("fx", str(number), {"a": b"%d" % number}).name for number in range(20)]
    file_of(store, addresses[3]).write_bytes(b"?")
    file_of(store, records[5], "records").write_bytes(b"?")
    first = store.verify()
    assert (first.objects, first.records) == (20, 20)
    assert sorted(first.damaged) == sorted([addresses[3], records[5]])
    second = store.verify()
    assert (second.objects, second.records, second.damaged) == (19, 19, ())
    assert store.stats().quarantined == 2


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_to_the_same(path: Path) -> None:
    (path.parent / "copy").write_bytes(b"data")
    path.symlink_to("copy")


def folder(path: Path) -> None:
    (path / "below").mkdir(parents=True)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, (8 << 30) + 1)


@pytest.mark.parametrize("obstacle", [link, link_to_the_same, folder, os.mkfifo, sparse])
@pytest.mark.parametrize("tree", ["objects", "records"])
def test_what_is_no_such_file_is_moved_aside(store: ContentStore, obstacle: Callable[[Path], None], tree: str) -> None:
    address = store.put(b"data")
    name = address if tree == "objects" else store.put_group("fx", "key", {"a": b"data"}).name
    path = file_of(store, name, tree)
    path.unlink()
    obstacle(path)
    if tree == "objects":
        assert store.get(address) is None
        assert store.put(b"data") == address
        assert store.get(address) == b"data"
    else:
        assert store.get_group("fx", "key") is None
        store.put_group("fx", "key", {"a": b"data"})
        assert store.has_group("fx", "key")
    assert store.stats().quarantined == 1
    store.clear()
    assert store.stats().files == 8
    assert Path("/etc/passwd").exists()


def test_a_record_too_large_is_not_read(store: ContentStore) -> None:
    record = store.put_group("fx", "key", {"a": b"data"})
    os.truncate(file_of(store, record.name, "records"), MAX_RECORD_BYTES + 1)
    assert store.get_group("fx", "key") is None
    assert store.stats().quarantined == 1


def seal(text: bytes, inline: bytes, head: bytes = bytes(40), text_bytes: int | None = None) -> bytes:
    """A record whose checksum is right, whatever it holds: only then is the rest looked at."""
    rest = head + struct.pack("<I", len(text) if text_bytes is None else text_bytes) + text + inline
    return MAGIC + blake3(rest).digest() + rest


def accept(data: bytes) -> None:
    for trust in (Trust(), Trust("prefer", (KEY,)), Trust("require", (KEY,))):
        try:
            record = decode_record(data, trust)
        except (mithril.CorruptError, UntrustedError):
            continue
        assert len(record.name) == 64
        assert decode_record(encode_record(record, trust), trust) == replace(record, seconds=round(record.seconds, 3))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_corrupt_or_a_record(data: bytes) -> None:
    accept(data)
    accept(MAGIC + data)
    accept(seal(data, b""))


SAMPLE = make_record("fx", "host", "key", {"a": b"first", "b/c": b"", "large": bytes(5000)}, seconds=1.5)
SEALED = encode_record(SAMPLE, Trust())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_records_are_corrupt_or_a_record(data: st.DataObject) -> None:
    body = bytearray(SEALED[40:])  # behind the checksum, which is made right again
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        match data.draw(st.integers(0, 2)):
            case 0:
                body[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case 1:
                del body[at : at + data.draw(st.integers(1, 50))]
            case 2:
                body[at:at] = data.draw(st.binary(max_size=20))
    accept(MAGIC + blake3(bytes(body)).digest() + bytes(body))


NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -1, 2**63, True])
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=80)
MEMBERS = st.lists(st.lists(VALUES, max_size=5) | VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_description_is_corrupt_or_a_record(data: st.DataObject) -> None:
    description = {
        "namespace": "fx",
        "fingerprint": "",
        "key": "key",
        "seconds": 1,
        "members": [["a", 3, blake3(b"abc").hexdigest(), True], ["b", 9000, "0" * 64, False]],
    }
    for _ in range(data.draw(st.integers(1, 2))):
        match data.draw(st.integers(0, 3)):
            case 0:
                description[data.draw(st.sampled_from(list(description)))] = data.draw(VALUES | MEMBERS)
            case 1 if isinstance(description.get("members"), list) and description["members"]:
                row = data.draw(st.sampled_from(description["members"]))
                if isinstance(row, list) and row:
                    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(VALUES)
            case 2:
                description.pop(data.draw(st.sampled_from(list(description))), None)
            case 3:
                description["members"] = data.draw(MEMBERS)
        if not description:
            break
    accept(seal(json.dumps(description).encode(), data.draw(st.sampled_from([b"abc", b"", b"abcd"]))))


@pytest.mark.parametrize("field", ["namespace", "fingerprint", "key", "member"])
def test_texts_that_are_not_unicode_are_corrupt(store: ContentStore, field: str) -> None:
    description = {"namespace": "", "fingerprint": "", "key": "", "seconds": 0}
    description[field] = "\ud800"
    description["members"] = [[description.pop("member", "a"), 0, blake3(b"").hexdigest(), True]]  # type: ignore[assignment]
    sealed = seal(json.dumps(description).encode(), b"")
    with pytest.raises(mithril.CorruptError):
        decode_record(sealed, Trust())


def test_deeply_nested_descriptions_are_corrupt() -> None:
    with pytest.raises(mithril.CorruptError):
        decode_record(seal(b"[" * 100_000, b""), Trust())
