"""MNIST, with a few lines of code."""

import gzip

import numpy as np
import pytest

from skcnn import CNNClassifier


def read_idx(path, header):
    """Return the bytes of a gzipped idx file behind its header."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


@pytest.mark.slow
def test_six_thousand_digits_give_an_accuracy_of_0985(data_dir):
    folder = data_dir / "images" / "mnist"
    X, X_test = (
        read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        for part in ("train6000", "t10k")
    )
    y, y_test = (
        read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)
        for part in ("train6000", "t10k")
    )
    clf = CNNClassifier(random_state=0).fit(X, y)
    assert clf.score(X_test, y_test) >= 0.985
