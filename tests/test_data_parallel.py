"""One fit in two processes: the gradients, and so the weights, of one process."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from skorch.callbacks import GradientNormClipping

from skcnn import CNNClassifier, TextCNNClassifier
from skcnn.cluster import data_parallel

pytestmark = pytest.mark.slow

EXACT = {"norm": None, "optimizer": "sgd", "lr": 0.01, "precision": "float64"}
CASES = {
    "plain": EXACT,
    "group": {**EXACT, "norm": "group"},
    "batch": {**EXACT, "norm": "batch"},
    "small batches": {**EXACT, "batch_size": 3},
    "mixup": {**EXACT, "augmentation": "mixup", "weight_averaging": "ema"},
    "early stopping": {**EXACT, "early_stopping": True, "class_weight": "balanced"},
    "clipped": {**EXACT, "callbacks": [GradientNormClipping(0.1)]},
    "other seed": EXACT,
}
DIGITS = load_digits(return_X_y=True)


def fit(case, rank=0):
    """Fit an estimator, one that differs between processes in two of the cases."""
    X, y = DIGITS
    n = 150 - rank if case == "other data" else 150
    if case == "text":
        texts = [f"{word} film {i % 40}" for i in range(n // 2) for word in ("a", "no")]
        return TextCNNClassifier(dropout=0, max_epochs=2, random_state=0).fit(
            texts, np.arange(n) % 2
        )
    options = {"batch_size": 33, "max_epochs": 2, **CASES.get(case, EXACT)}
    random_state = rank if case == "other seed" else 0
    random_state = np.random.RandomState(random_state)
    clf = CNNClassifier(image_shape=(8, 8), random_state=random_state, **options)
    return clf.fit(X[:n], y[:n])


def weights(clf):
    """Return weights and buffers of a network in one array."""
    values = clf.module_.state_dict().values()
    return np.concatenate([v.double().numpy().ravel() for v in values])


def launch(folder, *cases):
    """Run this file in two processes, which leave a file for each case."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    return subprocess.run(
        [*launcher, "--standalone", __file__, folder, *cases],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a function from a case to what both processes leave."""
    folder = tmp_path_factory.mktemp("processes")
    done = launch(folder, *CASES, "text")
    assert done.returncode == 0, done.stderr
    return lambda case: [np.load(folder / f"{case}-{rank}.npz") for rank in range(2)]


@pytest.mark.parametrize("case", [*CASES, "text"])
def test_both_processes_have_the_same_network(results, case):
    first, second = results(case)
    assert np.array_equal(first["weights"], second["weights"])
    assert np.array_equal(first["losses"], second["losses"])


@pytest.mark.parametrize("case", [case for case in CASES if case != "batch"])
def test_steps_are_those_of_one_process(results, case):
    expected, result = fit(case), results(case)[0]
    np.testing.assert_allclose(result["weights"], weights(expected), 0, 1e-13)
    np.testing.assert_allclose(result["losses"], expected.loss_curve_, 1e-13)


def test_batch_norm_of_parts_learns_too(results):
    expected, result = fit("batch"), results("batch")[0]
    np.testing.assert_allclose(result["losses"], expected.loss_curve_, 0.1)


def test_different_data_are_an_error(tmp_path):
    done = launch(tmp_path, "other data")
    assert done.returncode != 0
    assert "differ in training data and parameters" in done.stderr


def test_without_a_launcher_nothing_changes():
    expected = fit("plain")
    with data_parallel() as rank:
        clf = fit("plain")
    assert rank == 0
    assert np.array_equal(weights(clf), weights(expected))


if __name__ == "__main__":
    for case in sys.argv[2:]:
        with data_parallel() as rank:
            clf = fit(case, rank)
        arrays = {"weights": weights(clf), "losses": clf.loss_curve_}
        np.savez(f"{sys.argv[1]}/{case}-{rank}.npz", **arrays)
