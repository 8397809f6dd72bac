"""What the tests of pictures share."""

import pytest
from sklearn.datasets import load_digits

from skcnn import CNNClassifier


@pytest.fixture(scope="module")
def digits():
    """Images of digits and their labels."""
    data = load_digits()
    return data.images, data.target


@pytest.fixture(scope="module")
def digits_clf(digits):
    """A network trained on 400 digits, which is not to be changed."""
    images, target = digits
    return CNNClassifier(max_epochs=3, random_state=0).fit(images[:400], target[:400])


@pytest.fixture(autouse=True)
def closed_figures():
    """Close the figures of a test."""
    from matplotlib import pyplot as plt

    yield
    plt.close("all")
