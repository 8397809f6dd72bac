"""What the tests share."""

import os
import random
from pathlib import Path

# Threads that wait for others leave the core to the other workers.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import matplotlib as mpl
import numpy as np
import pytest
import torch
from sklearn.base import clone

mpl.use("Agg")
mpl.rcParams["figure.max_open_warning"] = 0  # docstrings' examples close no figures
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # share the cores between the workers
    n_workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    torch.set_num_threads(max(1, torch.get_num_threads() // n_workers))
REPOSITORY = Path(__file__).resolve().parents[1]
# Checks of scikit-learn whose tolerance is below the rounding of float32.
STRICT_CHECKS = {
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
}


@pytest.fixture
def run_check():
    """Return a function that runs a check of scikit-learn, a strict one in float64."""

    def run(estimator, check):
        name = getattr(check, "func", check).__name__
        if name in STRICT_CHECKS and "precision" in estimator.get_params():
            estimator = clone(estimator).set_params(precision="float64")
        check(estimator)

    return run


@pytest.fixture(scope="session")
def data_dir():
    """Folder of the real data, which is read in place."""
    default = REPOSITORY.parent / "shared" / "data"
    path = Path(os.environ.get("SKCNN_DATA", default))
    if not path.is_dir():
        message = f"no test data at {path}; set SKCNN_DATA to the folder that has it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture
def set_threads():
    """Return the function that sets the number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def rng():
    """Generator of random test data, the same for each test."""
    return np.random.default_rng(0)


@pytest.fixture
def untouched_globals():
    """Hold a test to leaving the global random states as they are."""
    before = global_states()
    yield
    after = global_states()
    assert torch.equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]


def global_states():
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    return torch.get_rng_state(), numpy_state, random.getstate()
