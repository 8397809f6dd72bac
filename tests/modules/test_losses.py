"""Losses that torch does not have in this form."""

import torch
from torch import nn

from skcnn.modules import BinaryCrossEntropy


def test_smoothing_spreads_the_target_over_absence_and_presence():
    outputs, targets = torch.randn(6, 3), torch.randint(2, (6, 3)).float()
    smoothed = BinaryCrossEntropy(label_smoothing=0.2)(outputs, targets)
    expected = nn.BCEWithLogitsLoss()(outputs, 0.8 * targets + 0.1)
    torch.testing.assert_close(smoothed, expected)
