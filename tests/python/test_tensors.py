"""Tensors as the core takes them: without a copy where possible, bit for bit always."""

import re

import pytest
import torch
from torch import Tensor

from mithril import InvalidArgumentError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._tensors import (
    allocate,
    describe,
    dtype_name,
    find_aliases,
    flat_bytes,
    is_in_order,
    memory,
    torch_dtype,
)

DTYPES = [name for name, _, _ in core.dtypes()]


def shares_memory(data: Tensor, tensor: Tensor) -> bool:
    return data.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("name", DTYPES)
def test_dtype_names(name: str) -> None:
    dtype = torch_dtype(name)
    assert dtype_name(dtype) == name
    assert {name: width for name, _, width in core.dtypes()}[name] == dtype.itemsize


def test_unknown_dtypes() -> None:
    with pytest.raises(UnsupportedError, match="qint8"):
        dtype_name(torch.qint8)
    with pytest.raises(UnsupportedError, match="Tensor"):
        torch_dtype("Tensor")


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0, 2), (2, 3, 4, 5)])
def test_contiguous_tensors_are_not_copied(name, shape, make_tensor) -> None:
    tensor = make_tensor(name, shape)
    data, dtype, described, order = describe(tensor, "x")
    assert (dtype, described, order) == (name, shape, tuple(range(len(shape))))
    assert data.dtype == torch.uint8
    assert data.numel() == tensor.numel() * tensor.element_size()
    assert shares_memory(data, tensor)


DENSE = {
    "transposed": (lambda t: t.transpose(0, 3), (3, 1, 2, 0)),
    "permuted": (lambda t: t.permute(2, 0, 3, 1), (1, 3, 0, 2)),
    "channels_last": (lambda t: t.permute(0, 3, 1, 2), (0, 2, 3, 1)),
    "row range": (lambda t: t[1:2], (0, 1, 2, 3)),
    "unsqueezed": (lambda t: t.transpose(0, 3).unsqueeze(1), (4, 1, 2, 3, 0)),
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("view", DENSE)
def test_dense_views_keep_their_order_and_are_not_copied(name, view, make_tensor, bits) -> None:
    make, order = DENSE[view]
    tensor = make(make_tensor(name, (2, 3, 4, 5)))
    described = describe(tensor, "x")
    assert shares_memory(described.data, tensor)
    assert [d for d in described.dim_order if tensor.size(d) > 1] == [d for d in order if tensor.size(d) > 1]
    restored = allocate(described.dtype, described.shape, described.dim_order)
    memory(restored).copy_(described.data)
    assert bits(restored) == bits(tensor)
    assert [s for s, n in zip(restored.stride(), tensor.shape, strict=True) if n > 1] == [
        s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1
    ]


def test_channels_last_from_torch() -> None:
    tensor = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    described = describe(tensor, "x")
    assert described.dim_order == (0, 2, 3, 1)
    restored = allocate(described.dtype, described.shape, described.dim_order)
    assert restored.is_contiguous(memory_format=torch.channels_last)


SPARSE_VIEWS = {
    "step": lambda t: t[:, ::2],
    "columns": lambda t: t[..., 1:3],
    "expanded": lambda t: t[:1].expand(6, -1, -1),
    "diagonal": lambda t: t.diagonal(),
    "step of one element": lambda t: t[:1, :1, :2].as_strided((1,), (2,)),
    "overlapping": lambda t: t.as_strided((3, 3), (1, 1)),
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("view", SPARSE_VIEWS)
def test_other_views_give_what_they_show(name, view, make_tensor, bits) -> None:
    tensor = SPARSE_VIEWS[view](make_tensor(name, (4, 5, 6)))
    described = describe(tensor, "x")
    assert described.dim_order == tuple(range(tensor.dim()))
    assert described.data.numpy().tobytes() == bits(tensor)
    rows = [bits(row) for row in tensor.unbind()]
    assert described.data.numpy().tobytes() == b"".join(rows)


@pytest.mark.parametrize("dtype", [torch.complex32, torch.complex64, torch.complex128])
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_conjugation_and_negation_are_resolved(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 4, dtype=torch.complex128).to(dtype)
    conjugated, negated = tensor.conj(), tensor.conj().imag
    assert conjugated.is_conj()
    assert negated.is_neg()
    for lazy in (conjugated, negated, conjugated.t()):
        described = describe(lazy, "x")
        restored = allocate(described.dtype, described.shape, described.dim_order)
        memory(restored).copy_(described.data)
        assert torch.equal(restored.to(torch.complex128), lazy.to(torch.complex128))
    assert shares_memory(describe(tensor, "x").data, tensor)


def test_gradients_do_not_matter() -> None:
    for tensor in (torch.nn.Parameter(torch.zeros(3)), torch.zeros(3, requires_grad=True) * 2):
        assert shares_memory(describe(tensor, "x").data, tensor)


class Subclass(Tensor):
    pass


def freed() -> Tensor:
    tensor = torch.zeros(4)
    tensor.untyped_storage().resize_(0)
    return tensor


REFUSED = {
    "layout torch.sparse_coo": lambda: torch.zeros(3).to_sparse(),
    "layout torch.sparse_csr": lambda: torch.zeros(3, 3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged),
    "nested tensors": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "meta": lambda: torch.zeros(3, device="meta"),
    "subclass Subclass": lambda: torch.zeros(3).as_subclass(Subclass),
    "subclass UninitializedParameter": lambda: torch.nn.UninitializedParameter(),
    "freed": freed,
}


@pytest.mark.filterwarnings("ignore")  # torch calls some of these layouts experimental, or gone soon
@pytest.mark.parametrize("reason", REFUSED)
def test_refused_by_name(reason: str) -> None:
    tensor = REFUSED[reason]()
    with pytest.raises(UnsupportedError, match=f"'layer.weight'.*{re.escape(reason)}"):
        describe(tensor, "layer.weight")


def test_dtensor_is_told_where_to_go() -> None:
    class DTensor(Tensor):
        pass

    with pytest.raises(UnsupportedError, match="save_compressed"):
        describe(torch.zeros(3).as_subclass(DTensor), "x")


def test_not_a_tensor() -> None:
    with pytest.raises(UnsupportedError, match=r"'x'.*float"):
        flat_bytes(3.0, "x")  # type: ignore[arg-type]


def test_memory_refuses_what_it_cannot_reach() -> None:
    for tensor in (torch.zeros(4)[::2], torch.zeros(2).expand(3, 2), torch.zeros(3, device="meta")):
        with pytest.raises(InvalidArgumentError):
            memory(tensor)
    with pytest.raises(InvalidArgumentError):
        memory(torch.zeros(3, dtype=torch.complex64).conj())


def test_memory_is_an_in_place_change() -> None:
    weight = torch.ones(3, requires_grad=True)
    loss = (weight * weight).sum()
    memory(weight).zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_is_in_order() -> None:
    tensor = torch.zeros(2, 3, 4)
    assert is_in_order(tensor, (0, 1, 2))
    assert is_in_order(tensor.permute(2, 0, 1), (1, 2, 0))
    assert is_in_order(torch.zeros(3, 1, 2), (1, 0, 2))
    assert is_in_order(torch.zeros(0, 3).t(), (0, 1))
    assert not is_in_order(tensor, (0, 2, 1))
    assert not is_in_order(tensor, (0, 1))
    assert not is_in_order(tensor[:, :2], (0, 1, 2))
    assert not is_in_order(torch.zeros(2, 3, 4, device="meta"), (0, 1, 2))
    assert not is_in_order(torch.zeros(2, dtype=torch.complex64).conj(), (0,))


def test_find_aliases() -> None:
    weight = torch.nn.Parameter(torch.zeros(4, 4))
    complex_ = torch.zeros(3, dtype=torch.complex64)
    tensors = {
        "weight": weight,
        "tied": weight,
        "detached": weight.detach(),
        "transposed": weight.t(),
        "part": weight[:2],
        "bits": weight.view(torch.int32),
        "copy": weight.clone(),
        "complex": complex_,
        "conjugate": complex_.conj(),
        "empty": torch.zeros(0),
        "empty too": torch.zeros(0),
    }
    assert find_aliases(tensors) == {"tied": "weight", "detached": "weight"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tensors(bits) -> None:
    tensor = torch.randn(4, 5, 6)
    for view in (tensor, tensor.permute(2, 0, 1), tensor[:, ::2]):
        described = describe(view.cuda(), "x")
        assert described.data.is_pinned()
        assert described.dim_order == describe(view, "x").dim_order
        assert described.data.numpy().tobytes() == describe(view, "x").data.numpy().tobytes()
