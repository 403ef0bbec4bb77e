"""Compression of buffers in memory, and its options."""

import array
import threading

import numpy as np
import pytest
import torch

import mithril
from mithril import CheckpointCompressor, CompressionConfig, CompressionStats
from mithril._native import core

WIDTHS = {name: width for name, _, width in core.dtypes()}
SHORT = {
    "bfloat16": ["bf16"],
    "float16": ["fp16", "f16"],
    "float32": ["fp32", "f32"],
    "float64": ["fp64", "f64"],
    "float8_e4m3fn": ["fp8_e4m3"],
    "float8_e5m2": ["fp8_e5m2"],
    "int8": ["i8"],
    "int16": ["i16"],
    "int32": ["i32"],
    "int64": ["i64"],
    "uint8": ["u8"],
    "uint16": ["u16"],
    "uint32": ["u32"],
    "uint64": ["u64"],
}


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


@pytest.mark.parametrize("byte_grouping", [True, False])
@pytest.mark.parametrize("dtype", WIDTHS)
def test_every_dtype(dtype: str, byte_grouping: bool) -> None:
    compressor = CheckpointCompressor(CompressionConfig(byte_grouping=byte_grouping))
    for count in (0, 1, 1001, (300_000 + 7) // WIDTHS[dtype]):
        for data in (noise(count * WIDTHS[dtype]), bytes(count * WIDTHS[dtype])):
            blob = compressor.compress(data, dtype)
            assert compressor.decompress(blob) == data
            assert compressor.decompress(blob, dtype, len(data)) == data


def test_dtype_spellings() -> None:
    compressor = CheckpointCompressor()
    for name in WIDTHS:
        blob = compressor.compress(bytes(16), name)
        for spelling in [name.upper(), getattr(torch, name), str(getattr(torch, name)), *SHORT.get(name, [])]:
            assert compressor.compress(bytes(16), spelling) == blob
            assert compressor.decompress(blob, spelling) == bytes(16)
        for short in SHORT.get(name, []):
            assert compressor.compress(bytes(16), short.upper()) == blob
    assert compressor.compress(np.ones(3, np.int16), np.dtype("int16")) == compressor.compress(
        np.ones(3, np.int16), "i16"
    )
    for unknown in ("f8", "", "qint8", "torch", None, 3):
        with pytest.raises(ValueError, match="unknown dtype"):
            compressor.compress(bytes(16), unknown)


VALUES = np.arange(24, dtype=np.float32).reshape(4, 6)
SOURCES = {
    "bytes": VALUES.tobytes(),
    "bytearray": bytearray(VALUES.tobytes()),
    "memoryview": memoryview(VALUES),
    "scattered memoryview": memoryview(VALUES)[::2],
    "array": array.array("f", VALUES.ravel()),
    "NumPy": VALUES,
    "NumPy transposed": VALUES.T,
    "NumPy strided": VALUES[:, ::2],
    "NumPy scalar": np.array(1.5, np.float32),
    "NumPy empty": np.zeros((0, 3), np.float32),
    "read-only NumPy": np.frombuffer(VALUES.tobytes(), np.float32),
    "tensor": torch.from_numpy(VALUES.copy()),
    "tensor transposed": torch.from_numpy(VALUES.copy()).t(),
    "tensor expanded": torch.ones(1, 3).expand(5, 3),
    "parameter": torch.nn.Parameter(torch.from_numpy(VALUES.copy())),
    "tensor empty": torch.zeros(3, 0),
    "tensor scalar": torch.tensor(1.5),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_are_read_in_row_major_order(source: str) -> None:
    data = SOURCES[source]
    array_ = data.detach().numpy() if isinstance(data, torch.Tensor) else data
    expected = bytes(array_) if isinstance(array_, (bytes, bytearray)) else np.ascontiguousarray(array_).tobytes()
    compressor = CheckpointCompressor()
    restored = compressor.decompress(compressor.compress(data, "fp32"))
    assert type(restored) is bytes
    assert restored == expected


@pytest.mark.parametrize("data", [None, 3, "text", [1.0], np.array([None])], ids=str)
def test_what_has_no_bytes(data: object) -> None:
    with pytest.raises(mithril.InvalidArgumentError):
        CheckpointCompressor().compress(data, "u8")


def test_a_sparse_tensor_is_not_made_dense() -> None:
    with pytest.raises(mithril.UnsupportedError, match="sparse"):
        CheckpointCompressor().compress(torch.zeros(3).to_sparse(), "f32")


def test_odd_sizes() -> None:
    for dtype, width in WIDTHS.items():
        if width > 1:
            with pytest.raises(ValueError, match=f"{width * 3 + 1} bytes are not a whole number of {dtype}"):
                CheckpointCompressor().compress(bytes(width * 3 + 1), dtype)


def test_what_the_caller_believes_is_compared() -> None:
    compressor = CheckpointCompressor()
    blob = compressor.compress(bytes(16), "bf16")
    with pytest.raises(ValueError, match="bfloat16, not float16"):
        compressor.decompress(blob, "fp16")
    with pytest.raises(ValueError, match="16 bytes, not 17"):
        compressor.decompress(blob, "bf16", 17)
    with pytest.raises(ValueError, match="bfloat16, not uint8"):
        compressor.decompress_raw(blob)


def test_out() -> None:
    compressor = CheckpointCompressor()
    blob = compressor.compress(VALUES, "fp32")
    for out in (
        bytearray(96),
        memoryview(bytearray(96)),
        array.array("f", [0.0] * 24),
        np.empty((6, 4), np.float32),
        torch.empty(12, 4, dtype=torch.int16),
        torch.empty(24, requires_grad=True),
    ):
        assert compressor.decompress(blob, out=out) is out
        content = out.detach().numpy() if isinstance(out, torch.Tensor) else out
        assert memoryview(content).tobytes() == VALUES.tobytes()
    for out, reason in (
        (bytearray(95), "95 bytes"),
        (torch.empty(25), "100 bytes"),
        (bytes(96), "writable"),
        (np.frombuffer(bytes(96), np.uint8), "writable"),
        (np.empty((6, 8), np.float32)[:, ::2], "contiguous"),
        (np.empty((4, 6), np.float32).T, "contiguous"),
        (memoryview(bytearray(192))[::2], "contiguous"),
        (torch.empty(6, 4).t(), "contiguous"),
        (torch.empty(24, device="meta"), "CPU"),
        (3, "int"),
    ):
        with pytest.raises(mithril.InvalidArgumentError, match=reason):
            compressor.decompress(blob, out=out)


def test_compress_into_out() -> None:
    for config in (CompressionConfig(), CompressionConfig.best()):
        compressor = CheckpointCompressor(config)
        for data, dtype in (
            (VALUES, "fp32"),
            (b"", "u8"),
            (noise(3_000_000), "bf16"),
            (np.zeros(1 << 20, "i4"), "i32"),
        ):
            size = memoryview(data).nbytes
            bound = compressor.bound(size, dtype)
            assert size < bound < size * 1.001 + 10240
            for out in (bytearray(bound), np.ones(bound + 7, np.uint8), torch.ones(bound, dtype=torch.uint8)):
                before = bytes(memoryview(out.numpy() if isinstance(out, torch.Tensor) else out))
                blob = compressor.compress(data, dtype, out=out)
                assert isinstance(blob, torch.Tensor if isinstance(out, torch.Tensor) else memoryview)
                blob = bytes(blob.numpy() if isinstance(blob, torch.Tensor) else blob)
                assert blob == compressor.compress(data, dtype)
                after = bytes(memoryview(out.numpy() if isinstance(out, torch.Tensor) else out))
                assert after[: len(blob)] == blob
                assert after[len(blob) :] == before[len(blob) :]
                assert compressor.decompress(blob) == bytes(memoryview(data).cast("B"))


def test_compress_refuses_an_out_that_does_not_fit() -> None:
    compressor = CheckpointCompressor()
    bound = compressor.bound(96, "fp32")
    shared = bytearray(2 * bound)
    for data, out, reason in (
        (VALUES, bytearray(bound - 1), f"{bound - 1} bytes, up to {bound}"),
        (VALUES, bytes(bound), "writable"),
        (VALUES, np.empty(2 * bound, np.uint8)[::2], "contiguous"),
        (VALUES, 3, "int"),
        (memoryview(shared)[bound - 1 : bound + 95], memoryview(shared)[:bound], "share memory"),
    ):
        with pytest.raises(mithril.InvalidArgumentError, match=reason):
            compressor.compress(data, "fp32", out=out)
    for size in (-4, 7):
        with pytest.raises(mithril.InvalidArgumentError, match="whole number"):
            compressor.bound(size, "fp32")


def test_raw() -> None:
    compressor = CheckpointCompressor()
    for data in (b"", b"x", b"pickle" * 1000, noise(1001)):
        blob = compressor.compress_raw(data)
        assert compressor.decompress_raw(blob) == data
        assert compressor.decompress_raw(blob, len(data)) == data
    assert len(compressor.compress_raw(b"pickle" * 1000)) < 1000


def test_damage_is_found() -> None:
    compressor = CheckpointCompressor()
    data = noise(5000)
    blob = compressor.compress(data, "bf16")
    for size in (0, 10, len(blob) // 2, len(blob) - 1):
        with pytest.raises((mithril.TruncatedError, mithril.CorruptError)):
            compressor.decompress(blob[:size])
    for position in range(0, len(blob), 13):
        damaged = bytearray(blob)
        damaged[position] ^= 0x40
        try:
            assert compressor.decompress(damaged) == data  # padding is not looked at
        except mithril.MithrilError:
            continue
        with pytest.raises(mithril.CorruptError):
            core.ArchiveReader.from_buffer(damaged).verify()


def test_a_file_is_no_blob(tmp_path) -> None:
    mithril.save_file({"x": torch.zeros(3)}, tmp_path / "x.mcp")
    with pytest.raises(mithril.InvalidArgumentError, match="load_file"):
        CheckpointCompressor().decompress((tmp_path / "x.mcp").read_bytes())


def test_previous_is_not_there_yet() -> None:
    compressor = CheckpointCompressor()
    blob = compressor.compress(bytes(16), "bf16")
    with pytest.raises(NotImplementedError, match="previous"):
        compressor.compress(bytes(16), "bf16", bytes(16))
    with pytest.raises(NotImplementedError, match="previous"):
        compressor.decompress(blob, "bf16", 16, previous=bytes(16))


def test_stats_and_ratio() -> None:
    compressor = CheckpointCompressor()
    blob = compressor.compress(bytes(1 << 20), "bf16")
    stats = CompressionStats.of(blob)
    assert stats == CompressionStats(original_size=1 << 20, compressed_size=len(blob))
    assert stats.ratio == compressor.compression_ratio(1 << 20, len(blob)) > 100
    assert CheckpointCompressor.compression_ratio(0, 5) == 0.0
    for sizes in ((5, 0), (-1, 5), (5, -5)):
        with pytest.raises(ValueError, match="no ratio"):
            CheckpointCompressor.compression_ratio(*sizes)


def test_grouping_pays_on_trained_weights(trained) -> None:
    weights = trained["encoder.layer.0.intermediate.dense.weight"].to(torch.bfloat16)
    sizes = [
        len(CheckpointCompressor(CompressionConfig(byte_grouping=grouping)).compress(weights, "bf16"))
        for grouping in (True, False)
    ]
    assert sizes[0] < sizes[1] < weights.numel() * 2


def test_one_compressor_serves_many_threads() -> None:
    compressor = CheckpointCompressor()
    data = [noise(100_000 + 2 * i) for i in range(8)]
    results: dict[int, bytes] = {}

    def work(number: int) -> None:
        results[number] = compressor.decompress(compressor.compress(data[number], "bf16"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[number] for number in range(8)] == data


def test_config() -> None:
    assert CompressionConfig.fast() == CompressionConfig(zstd_level=1)
    assert CompressionConfig.best() == CompressionConfig(zstd_level=19)
    options = CompressionConfig(zstd_level=7, byte_grouping=False, num_threads=3).writer_options()
    assert options == {"zstd_level": 7, "split": False, "block_bytes": 524_288, "threads": 3}
    assert CompressionConfig.best().writer_options()["block_bytes"] == 1 << 20
    with pytest.raises(AttributeError):
        CompressionConfig().zstd_level = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "option",
    [
        {"zstd_level": 0},
        {"zstd_level": 23},
        {"zstd_level": 3.0},
        {"zstd_level": True},
        {"byte_grouping": 1},
        {"num_threads": 0},
        {"num_threads": 1.5},
    ],
    ids=str,
)
def test_bad_config(option: dict[str, object]) -> None:
    with pytest.raises(mithril.InvalidArgumentError, match=next(iter(option))):
        CompressionConfig(**option)


@pytest.mark.parametrize("level", [1, 3, 9, 19, 22])
def test_every_level_and_thread_count_reads_back(level: int) -> None:
    data = (np.random.default_rng(0).standard_normal(200_000) * 0.02).astype(np.float32)
    blobs = {
        CheckpointCompressor(CompressionConfig(zstd_level=level, num_threads=threads)).compress(data, "f32")
        for threads in (1, 2, 5)
    }
    assert len(blobs) == 1
    assert CheckpointCompressor().decompress(blobs.pop()) == data.tobytes()
