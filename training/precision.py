"""Which number format to train in."""

import torch


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the processor multiplies it natively, None (stay in float32) elsewhere: emulated bfloat16 is
    slower than float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
