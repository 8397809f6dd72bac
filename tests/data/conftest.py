import pytest
import torch

from skcnn.data import ChannelScaler, Images, find_layout


@pytest.fixture
def make_images():
    """Return a function from an array to `Images` on the CPU."""

    def make(X, channel_axis="auto", dtype=torch.float32, device="cpu"):
        scaler = ChannelScaler(find_layout(X.shape[1:], channel_axis=channel_axis))
        return Images(X, scaler.fit(X), torch.device(device), dtype)

    return make
