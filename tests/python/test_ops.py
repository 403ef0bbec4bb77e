"""The operators: against the reference of the format and `_core`, for all dtypes and strides; tracing; errors."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from mithril import CorruptError, InvalidArgumentError, MithrilError, TruncatedError, UnsupportedError, ops
from mithril._native import core
from mithril.checkpoint._tensors import describe, flat_bytes, torch_dtype
from mithril.ops import _staging
from tests.reference.encoder import DTYPES_BY_NAME, Coding, split

pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")

DTYPES = [name for name, _, _ in core.dtypes()]
FLOATS = [name for name in DTYPES if DTYPES_BY_NAME[name].exponent]
library: Any = torch.ops.mithril


def raw(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


# ---- byte planes and float fields ----


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (8,), (3, 4, 6), (100, 1001)])
def test_byte_group(name, shape, make_tensor, bits) -> None:
    x = make_tensor(name, shape)
    width = max(2, DTYPES_BY_NAME[name].component)
    grouped = ops.byte_group(x)
    assert (grouped.dtype, grouped.shape) == (torch.uint8, (x.numel() * x.element_size(),))
    data = bits(x)
    assert bits(grouped) == b"".join(data[k::width] for k in range(width))
    assert bits(ops.byte_ungroup(grouped, width=width)) == data
    back = ops.byte_ungroup(grouped, dtype=x.dtype)
    assert (back.dtype, back.shape, bits(back)) == (x.dtype, (x.numel(),), data)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_byte_group_of_a_given_width(width) -> None:
    data = torch.arange(48, dtype=torch.uint8)
    expected = torch.cat([data[k::width] for k in range(width)])
    for x in (data, data.view(torch.int16), data.view(torch.complex128)):
        grouped = ops.byte_group(x, width=width)
        assert torch.equal(grouped, expected)
        assert torch.equal(ops.byte_ungroup(grouped, dtype=x.dtype, width=width), x)


def test_bf16_aliases(make_tensor, bits) -> None:
    x = make_tensor("bfloat16", (5, 3))
    data = bits(x)
    expected = data[0::2] + data[1::2]
    for given in (data, bytearray(data), memoryview(data), memoryview(data + data)[: len(data)]):
        assert ops.byte_group_bf16(given) == expected
        assert ops.byte_ungroup_bf16(ops.byte_group_bf16(given)) == data
    every_other = memoryview(bytes(byte for byte in data for _ in range(2)))[::2]
    assert ops.byte_group_bf16(every_other) == expected
    assert ops.byte_group_bf16(b"") == ops.byte_ungroup_bf16(b"") == b""
    for tensor in (x, raw(x)):
        assert bits(ops.byte_group_bf16(tensor)) == expected
    back = ops.byte_ungroup_bf16(ops.byte_group_bf16(x))
    assert (back.dtype, bits(back)) == (torch.bfloat16, data)
    with pytest.raises(InvalidArgumentError, match="float32"):
        ops.byte_group_bf16(torch.zeros(2))
    for odd in (b"abc", torch.zeros(3, dtype=torch.uint8)):
        for function in (ops.byte_group_bf16, ops.byte_ungroup_bf16):
            with pytest.raises(InvalidArgumentError, match="3 bytes are not a multiple of the width 2"):
                function(odd)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 5, 7), (40, 99)])
def test_float_fields(name, shape, make_tensor, bits) -> None:
    x = make_tensor(name, shape)
    planes = ops.split_float_fields(x)
    assert all((p.dtype, p.shape) == (torch.uint8, (x.numel() * (2 if x.is_complex() else 1),)) for p in planes)
    coding = Coding("float_fields", "raw")
    expected = [(width, b"".join(p)) for width, p in split(bits(x), coding, DTYPES_BY_NAME[name])]
    assert list(zip(ops.float_field_bits(x.dtype), map(bits, planes), strict=True)) == expected
    back = ops.join_float_fields(planes, x.dtype)
    assert (back.dtype, back.shape, bits(back)) == (x.dtype, (x.numel(),), bits(x))


STRIDES = {
    "sliced": lambda t: t[1:, 2:5],
    "gaps": lambda t: t[:, :, ::2],
    "transposed": lambda t: t.transpose(0, 2),
    "channels_last": lambda t: t.permute(0, 3, 1, 2),
    "expanded": lambda t: t[:1].expand(3, *t.shape[1:]),
    "one element": lambda t: t[1, 1, 1, 1],
    "empty": lambda t: t[:, :0].transpose(0, 1),
}


@pytest.mark.parametrize("view", STRIDES)
@pytest.mark.parametrize("name", DTYPES)
def test_fields_of_views_are_row_major(name, view, make_tensor, bits) -> None:
    x = STRIDES[view](make_tensor(name, (3, 6, 4, 8)))
    plain = make_tensor(name, tuple(x.shape), data=flat_bytes(x, "x"))
    if x.numel() * x.element_size() % 2 == 0:
        assert torch.equal(ops.byte_group(x), ops.byte_group(plain))
    if name in FLOATS:
        for a, b in zip(ops.split_float_fields(x), ops.split_float_fields(plain), strict=True):
            assert torch.equal(a, b)


# ---- archives ----


def core_blob(x: Tensor, **options: Any) -> bytes:
    data = describe(x, "x")
    writer = core.ArchiveWriter(**options)
    writer.add("", data.data, data.dtype, data.shape, dim_order=data.dim_order)
    writer.finish()
    return bytes(writer.next_part(1 << 30))


@pytest.mark.parametrize("name", DTYPES)
def test_the_dtype_table_is_torchs(name, make_tensor, bits) -> None:
    x = make_tensor(name, (10, 100))
    blob = ops.compress(x)
    entry = core.ArchiveReader.from_buffer(bits(blob)).entry(0)
    assert (entry.dtype, entry.name, entry.shape) == (name, "", (10, 100))
    assert torch_dtype(name) == x.dtype == ops.decompress(blob).dtype
    assert bits(ops.decompress(blob)) == bits(x)
    assert bits(blob) == core.compress(bits(x), name, [10, 100])


@pytest.mark.parametrize("view", STRIDES)
@pytest.mark.parametrize("name", DTYPES)
def test_archives_of_views(name, view, make_tensor, bits) -> None:
    x = STRIDES[view](make_tensor(name, (3, 6, 4, 8)))
    blob = ops.compress(x)
    assert bits(blob) == core_blob(x)
    back = ops.decompress(blob)
    assert (back.shape, back.dtype, bits(back)) == (x.shape, x.dtype, bits(x))
    named = ops.decompress(blob, dtype=x.dtype, shape=x.shape)
    assert named.is_contiguous()
    assert bits(named) == bits(x)


def test_dense_tensors_keep_their_strides() -> None:
    for x in (torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), torch.randn(3, 1, 4).permute(2, 0, 1)):
        assert ops.decompress(ops.compress(x)).stride() == x.stride()
    order = (3, 1, 0, 2)
    x = torch.randn(2, 3, 4, 5)
    back = ops.decompress(ops.compress(x), dtype=x.dtype, shape=x.shape, dim_order=order)
    assert back.permute(order).is_contiguous()
    assert torch.equal(back, x)


OPTIONS = [{"zstd_level": 19}, {"split": False}, {"block_bytes": 4096}, {"block_bytes": 1 << 20, "threads": 1}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_give_the_bytes_of_the_core(options, bits) -> None:
    x = torch.randn(300, 400).bfloat16()
    blob = ops.compress(x, **options)
    assert bits(blob) == core_blob(x, **options)
    assert torch.equal(ops.decompress(blob, threads=2), x)


@pytest.mark.parametrize("view", ["sliced", "gaps", "channels_last", "transposed", "one element", "empty"])
@pytest.mark.parametrize("name", DTYPES)
def test_decompress_into_any_strides(name, view, make_tensor, bits) -> None:
    source = STRIDES[view](make_tensor(name, (3, 6, 4, 8)))
    for out in (make_tensor(name, tuple(source.shape), seed=1), STRIDES[view](make_tensor(name, (3, 6, 4, 8), seed=2))):
        version = out._version
        assert ops.decompress_into(ops.compress(source), out) is None
        assert bits(out) == bits(source)
        assert out._version > version


def test_decompress_into_a_slice_leaves_the_rest_alone() -> None:
    memory = torch.zeros(6, 8)
    x = torch.randn(2, 8)
    ops.decompress_into(ops.compress(x), memory[2:4])
    assert torch.equal(memory[2:4], x)
    assert not memory[:2].any()
    assert not memory[4:].any()


@pytest.mark.parametrize("name", ["bfloat16", "float32", "complex128"])
def test_large_tensors(name, make_tensor, bits) -> None:
    """More than one thread's share, and a part of one."""
    x = make_tensor(name, (10, 71_003))
    assert bits(ops.decompress(ops.compress(x))) == bits(x)
    planes = ops.split_float_fields(x)
    by_row = zip(*(ops.split_float_fields(row) for row in x), strict=True)
    for plane, rows in zip(planes, by_row, strict=True):
        assert torch.equal(plane, torch.cat(rows))
    assert bits(ops.join_float_fields(planes, x.dtype)) == bits(x)


# ---- pending bits, gradients, memory ----


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_conjugation_and_negation_are_resolved(dtype, bits) -> None:
    z = torch.randn(4, 5, dtype=dtype)
    for x in (z.conj(), z.conj().imag, z.conj().transpose(0, 1)):
        assert x.is_conj() or x.is_neg()
        assert bits(ops.decompress(ops.compress(x))) == bits(x)
        assert torch.equal(ops.byte_group(x), ops.byte_group(x.resolve_conj().resolve_neg()))
        assert torch.equal(ops.join_float_fields(ops.split_float_fields(x), x.dtype).view(x.shape), x)
        doubled = x * 2
        ops.decompress_into(ops.compress(doubled), x)
        assert torch.equal(x, doubled)


def test_results_carry_no_gradient() -> None:
    x = torch.nn.Parameter(torch.randn(4))
    results = [ops.compress(x), ops.byte_group(x), *ops.split_float_fields(x), ops.decompress(ops.compress(x))]
    assert not any(r.requires_grad for r in results)
    with pytest.raises(InvalidArgumentError, match="no_grad"):
        ops.decompress_into(ops.compress(x), x)
    with torch.no_grad():
        ops.decompress_into(ops.compress(torch.ones(4)), x)
    assert torch.equal(x.detach(), torch.ones(4))
    with torch.inference_mode():
        ops.decompress_into(ops.compress(x), torch.empty(4))


def test_freed_storage_is_an_error() -> None:
    x = torch.ones(100)
    blob = ops.compress(x)
    x.untyped_storage().resize_(0)
    for function in (ops.compress, ops.byte_group, ops.split_float_fields, lambda t: ops.decompress_into(blob, t)):
        with pytest.raises(InvalidArgumentError, match="freed"):
            function(x)


# ---- errors ----

BYTES = torch.zeros(6, dtype=torch.uint8)
ERRORS: dict[str, tuple[Callable[[], object], type[MithrilError], str]] = {
    "odd bytes": (lambda: ops.byte_group(BYTES[:5]), InvalidArgumentError, "5 bytes are not a multiple of the width 2"),
    "width": (lambda: ops.byte_group(BYTES, width=3), InvalidArgumentError, "width 3 is not 2, 4 or 8"),
    "group in fours": (lambda: ops.byte_group(BYTES, width=4), InvalidArgumentError, "6 bytes .* width 4"),
    "ungroup in fours": (lambda: ops.byte_ungroup(BYTES, dtype=torch.float32), InvalidArgumentError, "6 bytes"),
    "ungroup elements": (lambda: ops.byte_ungroup(BYTES, dtype=torch.float32, width=2), InvalidArgumentError, "whole"),
    "ungroup floats": (lambda: ops.byte_ungroup(torch.zeros(4)), InvalidArgumentError, "grouped: a uint8 tensor"),
    "no fields": (lambda: ops.split_float_fields(BYTES), InvalidArgumentError, "uint8 has no float fields"),
    "no bits": (lambda: ops.float_field_bits(torch.int8), InvalidArgumentError, "int8 has no float fields"),
    "no planes": (lambda: ops.join_float_fields([], torch.float32), InvalidArgumentError, "no planes"),
    "few planes": (lambda: ops.join_float_fields([BYTES], torch.float32), InvalidArgumentError, "1 planes, 4 expected"),
    "plane sizes": (lambda: ops.join_float_fields([BYTES, BYTES[1:]], torch.bfloat16), InvalidArgumentError, "differ"),
    "odd components": (lambda: ops.join_float_fields([BYTES[:5]] * 3, torch.complex32), InvalidArgumentError, "whole"),
    "large symbol": (
        lambda: ops.join_float_fields([BYTES + 32, BYTES, BYTES], torch.float16),
        InvalidArgumentError,
        re.escape("planes[0]: a symbol has more than 5 bits"),
    ),
    "float planes": (
        lambda: ops.join_float_fields([torch.zeros(2)] * 2, torch.bfloat16),
        InvalidArgumentError,
        "uint8",
    ),
    "level": (lambda: ops.compress(BYTES, zstd_level=23), InvalidArgumentError, "zstd_level 23"),
    "block": (lambda: ops.compress(BYTES, block_bytes=1), InvalidArgumentError, "block_bytes 1 "),
    "threads": (lambda: ops.compress(BYTES, threads=-1), InvalidArgumentError, "threads -1"),
    "dimensions": (lambda: ops.compress(torch.zeros([1] * 65)), InvalidArgumentError, "65 dimensions"),
    "sparse": (lambda: ops.compress(torch.eye(2).to_sparse()), UnsupportedError, "SparseCPU"),
    "meta": (lambda: ops.compress(BYTES.to("meta")), UnsupportedError, "meta"),
    "unknown dtype": (lambda: ops.compress(BYTES.view(torch.bits8)), UnsupportedError, "dtype"),
    "unknown dtype named": (lambda: ops.float_field_bits(torch.uint1), UnsupportedError, "dtype"),
    "float blob": (lambda: ops.decompress(torch.zeros(4)), InvalidArgumentError, "blob: a uint8 tensor"),
    "no blob": (lambda: ops.decompress(BYTES[:0]), TruncatedError, "there are 0"),
    "dtype": (lambda: ops.decompress(ops.compress(BYTES), dtype=torch.int8), InvalidArgumentError, "uint8, not int8"),
    "shape": (
        lambda: ops.decompress(ops.compress(BYTES), shape=[2, 3]),
        InvalidArgumentError,
        re.escape("the shape [6], not [2, 3]"),
    ),
    "order": (lambda: ops.decompress(ops.compress(BYTES), dim_order=[1]), InvalidArgumentError, "no permutation"),
    "out dtype": (
        lambda: ops.decompress_into(ops.compress(BYTES), torch.zeros(6)),
        InvalidArgumentError,
        "not float32",
    ),
    "out shape": (lambda: ops.decompress_into(ops.compress(BYTES), BYTES[1:]), InvalidArgumentError, "shape"),
    "out overlaps": (
        lambda: ops.decompress_into(ops.compress(BYTES), BYTES[:1].expand(6)),
        InvalidArgumentError,
        "share memory",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case) -> None:
    function, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        function()
    assert not str(caught.value).startswith("mithril:")


def test_damage_is_told() -> None:
    blob = ops.compress(torch.randn(1000))
    with pytest.raises(TruncatedError):
        ops.decompress(blob[:-1])
    damaged = blob.clone()
    damaged[100] ^= 1
    with pytest.raises(CorruptError, match=r"offset 64"):
        ops.decompress(damaged)
    with pytest.raises(CorruptError):
        ops.decompress_into(damaged, torch.empty(1000))
    with pytest.raises(RuntimeError, match=r"^mithril:corrupt: "):  # the operator itself
        library.decompress(damaged)


def test_archives_of_named_tensors_are_refused() -> None:
    writer = core.ArchiveWriter()
    writer.add("w", bytes(4), "float32", [1])
    writer.finish()
    blob = torch.frombuffer(bytearray(writer.next_part(1 << 20)), dtype=torch.uint8)
    with pytest.raises(InvalidArgumentError, match="named tensors"):
        ops.decompress(blob)


# ---- tracing ----


def samples() -> dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    x = torch.randn(4, 6, requires_grad=True)
    blob = ops.compress(x)
    named = {"dtype": x.dtype, "shape": [4, 6]}
    return {
        "byte_group": (library.byte_group, (x,), {}),
        "byte_group width": (library.byte_group, (x.detach().bfloat16(),), {"width": 4}),
        "byte_ungroup": (library.byte_ungroup, (ops.byte_group(x),), {}),
        "byte_ungroup dtype": (library.byte_ungroup, (ops.byte_group(x),), {"dtype": torch.float32}),
        "split_float_fields": (library.split_float_fields, (x,), {}),
        "split complex": (library.split_float_fields, (torch.randn(3, dtype=torch.complex128),), {}),
        "join_float_fields": (library.join_float_fields, (ops.split_float_fields(x), torch.float32), {}),
        "join complex": (library.join_float_fields, (ops.split_float_fields(x), torch.complex64), {}),
        "float_field_bits": (library.float_field_bits, (torch.float16,), {}),
        "compress": (library.compress, (x,), {}),
        "compress empty": (library.compress, (torch.empty(0, 3),), {"zstd_level": 1}),
        "decompress": (library.decompress, (blob,), named),
        "decompress order": (library.decompress, (blob,), {**named, "dim_order": [1, 0]}),
        "decompress_into": (library.decompress_into, (blob, torch.empty(4, 6)), {}),
        "decompress_into strides": (library.decompress_into, (blob, torch.empty(6, 4).t()), {}),
    }


@pytest.mark.parametrize("case", samples())
def test_opcheck(case) -> None:
    op, arguments, options = samples()[case]
    assert set(opcheck(op.default, arguments, options).values()) == {"SUCCESS"}


def archive_round_trip(x: Tensor) -> tuple[Tensor, int, Tensor]:
    blob = ops.compress(x + 1)
    out = torch.empty_like(x)
    ops.decompress_into(blob, out)
    return ops.decompress(blob, dtype=x.dtype, shape=x.shape) * 2, blob.numel() + 1, out * 2


def fields_round_trip(x: Tensor) -> tuple[Tensor, Tensor]:
    planes = ops.split_float_fields(x)
    joined = ops.join_float_fields([planes[0] + 1, *planes[1:]], x.dtype)  # doubles a float32 with a middling exponent
    return joined.view(x.shape), ops.byte_ungroup(ops.byte_group(x * 2), dtype=x.dtype).view(x.shape)


def check_compiled(backend: str, dynamic: bool | None) -> None:
    torch._dynamo.reset()
    for function in (archive_round_trip, fields_round_trip):
        compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=dynamic)
        for shape in ((4, 6), (5, 7)):
            x = torch.rand(shape) + 1
            for got, expected in zip(compiled(x), function(x), strict=True):
                assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))
    x = torch.rand(2, 2)
    assert torch.equal(fields_round_trip(x)[0], 2 * x)


@pytest.mark.parametrize("dynamic", [None, True])
def test_compile(dynamic) -> None:
    check_compiled("aot_eager", dynamic)


@pytest.mark.slow
def test_compile_with_inductor() -> None:
    check_compiled("inductor", None)


def test_export() -> None:
    class Model(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ops.decompress(ops.compress(x), dtype=x.dtype, shape=x.shape) + 1

    x = torch.randn(3, 4)
    assert torch.equal(torch.export.export(Model(), (x,)).module()(x), x + 1)


def test_decompress_without_dtype_breaks_the_graph() -> None:
    blob = ops.compress(torch.ones(3))
    assert torch.equal(torch.compile(lambda b: ops.decompress(b) + 1, backend="eager")(blob), torch.full((3,), 2.0))
    with pytest.raises(torch._dynamo.exc.Unsupported, match="needs dtype= and shape="):
        torch.compile(lambda b: ops.decompress(b) + 1, backend="eager", fullgraph=True)(blob)


def test_errors_in_a_compiled_graph_keep_their_kind_in_the_text() -> None:
    compiled = torch.compile(
        lambda b: ops.decompress(b, dtype=torch.float32, shape=(4,)) + 1, backend="aot_eager", fullgraph=True
    )
    with pytest.raises(RuntimeError, match=r"^mithril:invalid_argument: the tensor has the shape \[3\], not \[4\]"):
        compiled(ops.compress(torch.ones(3)))


def test_meta() -> None:
    x = torch.empty(3, 4, dtype=torch.float16, device="meta")
    assert ops.byte_group(x).shape == (24,)
    assert [p.shape for p in ops.split_float_fields(x)] == [(12,)] * 3


# ---- CUDA ----


def test_staging_calls_the_same_operators(bits) -> None:
    """The CUDA kernels, on CPU tensors: all but the transfers."""
    x = torch.randn(4, 6)
    blob, out = ops.compress(x), torch.empty(4, 6)
    kernels = _staging.KERNELS
    assert torch.equal(kernels["compress"](x, zstd_level=3), blob)
    assert torch.equal(kernels["byte_group"](x, width=0), ops.byte_group(x))
    planes = kernels["split_float_fields"](x)
    assert torch.equal(kernels["join_float_fields"](planes, x.dtype), x.view(-1))
    assert torch.equal(kernels["decompress"](blob), x)
    kernels["decompress_into"](blob, out)
    assert torch.equal(out, x)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda() -> None:
    x = torch.randn(2, 3, 4, 5, device="cuda").to(memory_format=torch.channels_last)
    blob = ops.compress(x)
    assert blob.device.type == "cpu"
    assert torch.equal(blob, ops.compress(x.cpu()))
    out = torch.empty_like(x)
    ops.decompress_into(blob, out)
    assert torch.equal(out, x)
    assert torch.equal(ops.decompress(blob.cuda()), x)
    assert torch.equal(ops.byte_ungroup(ops.byte_group(x), dtype=x.dtype).view(x.shape), x.contiguous())
    assert torch.equal(ops.join_float_fields(ops.split_float_fields(x), x.dtype).view(x.shape), x.contiguous())
