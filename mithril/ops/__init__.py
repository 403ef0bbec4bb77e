"""Operators on tensors, `torch.ops.mithril.*`: byte planes, float fields, archives of one tensor, and MinHash sketches.

They work on CPU tensors of every dtype and stride, in place where the tensor is dense; CUDA tensors are staged through
pinned memory. They trace (`torch.compile`, `torch.export`) and have no derivatives: results are detached. The functions
here are the operators with their errors made `MithrilError`; in a compiled graph errors are RuntimeErrors whose text
begins with `mithril:` and the kind. Loading this package needs PyTorch.
"""

from mithril.ops import _fakes, _staging
from mithril.ops._archive import compress, decompress, decompress_into
from mithril.ops._fields import (
    byte_group,
    byte_group_bf16,
    byte_ungroup,
    byte_ungroup_bf16,
    float_field_bits,
    join_float_fields,
    split_float_fields,
)
from mithril.ops._minhash import minhash, minhash_bands

__all__ = [
    "byte_group",
    "byte_group_bf16",
    "byte_ungroup",
    "byte_ungroup_bf16",
    "compress",
    "decompress",
    "decompress_into",
    "float_field_bits",
    "join_float_fields",
    "minhash",
    "minhash_bands",
    "split_float_fields",
]

_fakes.register()
_staging.register()
