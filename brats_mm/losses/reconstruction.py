"""Masked reconstruction: predict hidden parts of the images from the visible parts."""

from torch import Tensor


def masked_squared_error(predicted: Tensor, image: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over the hidden voxels inside the brain. 0 if there is none.

    Background is exactly zero, and so are missing sequences. Neither counts.

    Args:
        predicted: predicted z-scores (b, m, h, w, d).
        image: z-scores of the same shape.
        hidden: booleans of the same shape.
    """
    counts = (hidden & (image != 0)).float()
    error = (predicted.float() - image.float()) ** 2
    return (error * counts).sum() / counts.sum().clamp(min=1)
