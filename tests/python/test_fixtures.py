"""The generated checkpoint of 10 MB: realistic, not noise."""

import torch

from fixtures.make_small_model import values
from mithril import CheckpointCompressor


def test_the_small_model_is_like_trained_weights() -> None:
    model = values()
    assert (model.dtype, model.nbytes) == (torch.bfloat16, 10 << 20)
    assert torch.equal(model, values())
    blob = CheckpointCompressor().compress(model, "bfloat16")
    assert 1.4 < model.nbytes / len(blob) < 1.6  # noise would not shrink, and nothing dense can by more
    assert CheckpointCompressor().decompress(blob) == model.view(torch.uint8).numpy().tobytes()
