"""The same `random_state` gives the same model: the promise on numerics."""

import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier
from skorch.callbacks import Callback, Initializer
from torch import nn
from torch.nn import functional as F

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    TextCNNClassifier,
)
from skcnn.backbones import load_backbone
from skcnn.runtime import PrivateRandomness, make_generator
from skcnn.runtime.threads import SMALL_BATCH_FLOPS

THREAD_COUNTS = (1, 2)
TINY = {"n_layers": 1, "n_filters": 4, "max_epochs": 2, "batch_size": 16}
N_THREADS, N_FITS = 16, 25


def make_noisy_network():
    """Return an architecture, local so that it travels to workers by value."""

    def noisy_network(input_shape, n_outputs):
        """Return a network with torch's own random layers."""
        return nn.Sequential(
            nn.Conv2d(input_shape[0], 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.RReLU(),
            nn.Dropout2d(0.3),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.LazyLinear(n_outputs),
        )

    return noisy_network


def make_attention_network():
    """Return an architecture of layers that the package has not."""

    def attention_network(input_shape, n_outputs):
        """Return a network with attention between the positions of a map."""
        return nn.Sequential(
            nn.Conv2d(input_shape[0], 64, 5, padding="same", padding_mode="circular"),
            nn.GroupNorm(4, 64),
            nn.AvgPool2d(2),
            nn.Flatten(2),
            nn.TransformerEncoderLayer(64, 4, 64, batch_first=True),
            nn.Flatten(),
            nn.LazyLinear(n_outputs),
        )

    return attention_network


noisy_network = make_noisy_network()
# Name -> (shape of X, parameters). These train on one thread, ...
SMALL = {
    "convnet": ((48, 8, 8), {}),
    "dropout": ((48, 8, 8), {"dropout": 0.3, "hidden_layer_sizes": (8,)}),
    "group norm": ((48, 8, 8), {"norm": "group", "precision": "float64"}),
    "bfloat16": ((48, 8, 8), {"precision": "bfloat16"}),
    "lenet5": ((48, 12, 12), {"architecture": "lenet5"}),
    "resnet20": ((16, 8, 8, 3), {"architecture": "resnet20", "batch_size": 8}),
    "signals": ((48, 32), {}),
    "short fcn": ((8, 3), {"architecture": "fcn", "batch_size": 8}),
    "volumes": ((48, 6, 6, 6, 1), {}),
    "torch's dropout": ((32, 8, 8), {"architecture": noisy_network}),
}
# ... and these on as many as there are.
WIDE = {"n_layers": 2, "n_filters": 48, "batch_size": 32, "max_epochs": 2}
LARGE = {
    "large convnet": ((32, 16, 16, 3), {**WIDE, "n_layers": 3}),
    "large dropout": ((32, 16, 16, 3), {**WIDE, "dropout": 0.3, "norm": "group"}),
    "large resnet20": (
        (16, 16, 16, 3),
        {"architecture": "resnet20", "batch_size": 8, "max_epochs": 1},
    ),
    "large bfloat16": ((32, 16, 16, 3), {**WIDE, "precision": "bfloat16"}),
    "large signals": ((64, 250), {**WIDE, "n_filters": 64, "batch_size": 64}),
    "large volumes": ((32, 8, 8, 8, 2), {**WIDE, "max_epochs": 1}),
    "large torch's dropout": (
        (64, 16, 16, 3),
        {"architecture": noisy_network, "batch_size": 64, "max_epochs": 2},
    ),
    "large attention": (
        (72, 16, 16, 3),
        {
            "architecture": make_attention_network(),
            "batch_size": 72,
            "max_epochs": 2,
        },
    ),
}
CASES = {name: (shape, {**TINY, **params}) for name, (shape, params) in SMALL.items()}
CASES.update(LARGE)


def make_case(name, cls=CNNClassifier):
    """Return an unfitted estimator, X and y."""
    shape, params = CASES[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape).astype(np.float32)
    return cls(**params, device="cpu", random_state=0), X, np.arange(len(X)) % 3


def fitted_outputs(model, X, y):
    """Return what the fitted model predicts on one thread."""
    model.fit(X, y)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return model.predict_proba(X) if is_classifier(model) else model.predict(X)
    finally:
        torch.set_num_threads(n_threads)


def global_states():
    numpy_state = np.random.get_state()  # noqa: NPY002
    return (
        random.getstate(),
        (*numpy_state[:1], numpy_state[1].tobytes(), *numpy_state[2:]),
        torch.get_rng_state().numpy().tobytes(),
    )


def seed_globally(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@pytest.fixture
def keep_global_states():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


# -- again, in threads, in processes ------------------------------------------


@pytest.mark.numerics
@pytest.mark.parametrize("name", CASES)
def test_fits_in_a_row_are_equal(name):
    model, X, y = make_case(name)
    first = fitted_outputs(model, X, y)
    assert np.array_equal(first, fitted_outputs(clone(model), X, y))
    flops = model.net_.flops_ * min(model.batch_size, len(X))
    assert (flops >= SMALL_BATCH_FLOPS) == (name in LARGE)


@pytest.mark.numerics
def test_fits_of_a_regressor_in_a_row_are_equal():
    model, X, y = make_case("dropout", CNNRegressor)
    first = fitted_outputs(model, X, y)
    assert np.array_equal(first, fitted_outputs(clone(model), X, y))


@pytest.mark.slow
def test_400_fits_in_16_threads_are_equal():
    """Each thread takes turns between networks, so that unlike fits meet."""
    names = ["convnet", "dropout", "torch's dropout"]
    cases = []
    for name in names:
        model, X, y = make_case(name)
        cases.append((model.set_params(max_epochs=1), X[:16], y[:16]))
    expected = [fitted_outputs(*case) for case in cases]

    def count_equal(thread):
        turns = [(thread + turn) % len(cases) for turn in range(N_FITS)]
        return sum(
            np.array_equal(
                fitted_outputs(clone(cases[turn][0]), *cases[turn][1:]), expected[turn]
            )
            for turn in turns
        )

    with ThreadPoolExecutor(N_THREADS) as pool:
        n_equal = sum(pool.map(count_equal, range(N_THREADS)))
    assert n_equal == N_THREADS * N_FITS == 400


@pytest.mark.parametrize(
    ("backend", "n_jobs"),
    [
        ("threading", 1),
        ("threading", 2),
        ("loky", 1),
        pytest.param("loky", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", ["dropout", "torch's dropout"])
def test_fits_in_joblib_workers_are_equal(name, backend, n_jobs):
    model, X, y = make_case(name)
    expected = fitted_outputs(clone(model), X, y)
    models = Parallel(n_jobs=n_jobs, backend=backend)(
        delayed(clone(model).fit)(X, y) for _ in range(4)
    )
    assert all(np.array_equal(m.predict_proba(X), expected) for m in models)


FIT_ALL = """
import pickle, runpy, sys
tests = runpy.run_path(sys.argv[1])
outputs = {
    name: tests["fitted_outputs"](*tests["make_case"](name)) for name in tests["CASES"]
}
with open(sys.argv[2], "wb") as file:
    pickle.dump(outputs, file)
"""


@pytest.fixture(scope="module")
def outputs_of_processes(tmp_path_factory):
    """Outputs of all cases, fitted in fresh processes of one and two threads."""
    folder = tmp_path_factory.mktemp("processes")
    outputs = {}
    for n_threads in THREAD_COUNTS:
        path = folder / f"{n_threads}.pkl"
        env = {"OMP_NUM_THREADS": str(n_threads), "MKL_NUM_THREADS": str(n_threads)}
        subprocess.run(
            [sys.executable, "-c", FIT_ALL, __file__, path],
            env={**os.environ, **env},
            check=True,
        )
        outputs[n_threads] = pickle.loads(path.read_bytes())
    return outputs


@pytest.mark.slow
@pytest.mark.numerics
@pytest.mark.parametrize("n_threads", THREAD_COUNTS)
@pytest.mark.parametrize("name", CASES)
def test_a_fit_in_a_fresh_process_is_equal(
    name, n_threads, outputs_of_processes, set_threads
):
    """At the same number of threads, and small fits at any."""
    set_threads(n_threads)
    expected = fitted_outputs(*make_case(name))
    for count, outputs in outputs_of_processes.items():
        if name in SMALL or count == n_threads:
            assert np.array_equal(outputs[name], expected)


@pytest.mark.numerics
@pytest.mark.parametrize("name", ["convnet", "torch's dropout", "signals"])
def test_small_fits_and_predictions_are_equal_at_any_number_of_threads(
    name, set_threads
):
    outputs = []
    for n_threads in (2, 1):
        set_threads(n_threads)
        model, X, y = make_case(name)
        outputs.append(model.fit(X, y).predict_proba(X))
    assert np.array_equal(*outputs)


@pytest.mark.numerics
@pytest.mark.parametrize("name", ["large convnet", "large attention"])
def test_large_fits_and_predictions_differ_by_rounding_at_other_numbers_of_threads(
    name, set_threads
):
    outputs = []
    for n_threads in (2, 1):
        set_threads(n_threads)
        model, X, y = make_case(name)
        model.set_params(precision="float64").fit(X, y)
        outputs.append(model.predict_proba(X))
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-8)


# -- global generators --------------------------------------------------------


class Interruption(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def breaking_network(input_shape, n_outputs):
    """Draw weights and break."""
    nn.Linear(4, 4)
    raise RuntimeError("no network today")


@pytest.mark.parametrize("name", ["convnet", "dropout", "torch's dropout"])
def test_global_generators_are_left_alone(name):
    model, X, y = make_case(name)
    before = global_states()
    model.fit(X, y)
    model.predict_proba(X)
    model.partial_fit(X, y)
    assert global_states() == before


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"callbacks": [Interruption()]}, KeyboardInterrupt),
        ({"architecture": breaking_network}, RuntimeError),
        ({"lr": 1e30, "norm": None, "optimizer": "sgd"}, ValueError),
    ],
    ids=["interrupted", "broken network", "diverging loss"],
)
def test_global_generators_are_left_alone_where_fit_fails(params, error):
    model, X, y = make_case("dropout")
    before = global_states()
    with pytest.raises(error):
        model.set_params(**params).fit(X, y)
    assert global_states() == before


@pytest.mark.parametrize("name", ["convnet", "dropout", "torch's dropout"])
def test_global_seeds_do_not_matter(name, keep_global_states):
    outputs = []
    for seed in (1, 2):
        seed_globally(seed)
        outputs.append(fitted_outputs(*make_case(name)))
    assert np.array_equal(*outputs)


@contextmanager
def double_by_default():
    """Within this context, new tensors are in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CALLERS = {
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "default dtype": double_by_default,
    "default device": partial(torch.device, "meta"),
}
USERS = {
    "classifier": CNNClassifier(**TINY, random_state=0),
    "larger classifier": CNNClassifier(**(TINY | {"n_filters": 64}), random_state=0),
    "transformer": CNNFeatureTransformer(
        "squeezenet1_0", weights=None, image_size=64, random_state=0
    ),
    "trained transformer": CNNFeatureTransformer(
        CNNClassifier(**TINY, random_state=0), layer="block1"
    ),
    "fine-tuned": FineTunedClassifier(
        CNNClassifier(**TINY).fit(
            np.full((8, 8, 8, 3), 200, np.uint8), np.arange(8) % 2
        ),
        max_epochs=1,
        random_state=0,
    ),
}


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_what_the_caller_tells_torch_does_not_matter(caller, name, tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    y = np.arange(24) % 2
    model, other = clone(USERS[name]), clone(USERS[name])
    compute = "transform" if hasattr(model, "transform") else "predict_proba"
    if compute == "transform":
        other.set_params(memory=tmp_path)
    expected = getattr(model.fit(X, y), compute)(X)
    with CALLERS[caller]():
        np.testing.assert_array_equal(getattr(model, compute)(X), expected)
        np.testing.assert_array_equal(getattr(other.fit(X, y), compute)(X), expected)
    np.testing.assert_array_equal(getattr(other, compute)(X), expected)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_backbone_is_loaded_alike_whatever_the_caller_tells_torch(caller):
    with CALLERS[caller]():
        module = load_backbone("resnet20", weights=None).module
    weights = list(module.parameters())
    assert {w.dtype for w in weights} == {torch.float32}
    assert {w.device.type for w in weights} == {"cpu"}


@pytest.mark.parametrize("caller", CALLERS)
def test_ngrams_are_the_same_whatever_the_caller_tells_torch(caller):
    clf = TextCNNClassifier(max_epochs=1, random_state=0)
    clf.fit(["who is it", "where was that", "who was he"] * 4, [0, 1, 0] * 4)
    expected = clf.top_ngrams(0)
    with CALLERS[caller]():
        assert clf.top_ngrams(0) == expected


class MonteCarlo(nn.Module):
    """A network whose dropout goes on in evaluation mode."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.output = nn.Linear(int(np.prod(input_shape)), n_outputs)
        self.norm = nn.BatchNorm1d(n_outputs)

    def forward(self, x):
        x = nn.functional.dropout(x.flatten(1), 0.5, training=True)
        return self.norm(self.output(x))


@pytest.mark.parametrize(
    "params",
    [{}, {"early_stopping": True}, {"weight_averaging": "ema"}],
    ids=["plain", "early stopping", "averaged"],
)
def test_networks_that_are_random_in_evaluation_are_fitted_alike(params):
    X, y = make_case("convnet")[1:]
    clf = CNNClassifier(MonteCarlo, max_epochs=3, random_state=0, **params)
    before = global_states()
    first, again = (clone(clf).fit(X, y) for _ in range(2))
    assert global_states() == before
    assert first.history_[:, "train_loss"] == again.history_[:, "train_loss"]
    assert first.validation_scores_ == again.validation_scores_
    assert torch.equal(first.module_.output.weight, again.module_.output.weight)
    assert torch.equal(first.module_.norm.running_var, again.module_.norm.running_var)


def test_validation_that_draws_numbers_leaves_training_alone():
    X, y = make_case("convnet")[1:]
    clf = CNNClassifier(MonteCarlo, max_epochs=3, random_state=0)
    alone, watched = clone(clf).fit(X, y), clone(clf).fit(X, y, X_val=X, y_val=y)
    assert torch.equal(alone.module_.output.weight, watched.module_.output.weight)


class LateDropout(nn.Module):
    """Dropout that starts with the third batch."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.linear = nn.LazyLinear(n_outputs)
        self.n_batches = 0

    def forward(self, x):
        self.n_batches += self.training
        p = 0.5 if self.n_batches > 2 else 0.0
        return self.linear(F.dropout(x.flatten(1), p, self.training))


class RaisedDropout(Callback):
    """Set the probability of every dropout layer after the first epoch."""

    def on_epoch_end(self, net, **kwargs):
        for module in net.module_.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5


def idle_dropout(input_shape, n_outputs):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.LazyLinear(n_outputs))


@pytest.mark.parametrize(
    "params",
    [
        {"architecture": LateDropout},
        {"architecture": idle_dropout, "callbacks": [RaisedDropout()]},
    ],
    ids=["module", "callback"],
)
def test_random_layers_may_start_late(params, keep_global_states):
    model, X, y = make_case("convnet")
    model.set_params(**params)
    outputs = []
    for seed in (1, 2):
        seed_globally(seed)
        outputs.append(fitted_outputs(model, X, y))
    assert np.array_equal(*outputs)


X4 = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
X9 = torch.linspace(-1, 1, 162).reshape(1, 2, 9, 9)
P2 = torch.linspace(0.1, 0.9, 20).reshape(4, 5)
DRAWS = {
    "rand": lambda: torch.rand(4),
    "randn": lambda: torch.randn(4, dtype=torch.float64),
    "randint": lambda: torch.randint(9, (8,)),
    "randint from": lambda: torch.randint(2, 9, (8,)),
    "randperm": lambda: torch.randperm(9),
    "rand_like": lambda: torch.rand_like(X4),
    "randn_like": lambda: torch.randn_like(X4),
    "rand_like of a dtype": lambda: torch.rand_like(X4, dtype=torch.float64),
    "randn_like of a dtype": lambda: torch.randn_like(X4, dtype=torch.float64),
    "randint_like": lambda: torch.randint_like(X4, 9),
    "randint_like from": lambda: torch.randint_like(X4, 2, 9),
    "bernoulli": lambda: torch.bernoulli(P2),
    "bernoulli_": lambda: torch.empty(20).bernoulli_(0.5),
    "multinomial": lambda: torch.multinomial(P2, 2),
    "normal": lambda: torch.normal(P2, P2),
    "normal of a size": lambda: torch.normal(0.0, 1.0, (4,)),
    "poisson": lambda: torch.poisson(9 * P2),
    "exponential_": lambda: torch.empty(4).exponential_(),
    "uniform_": lambda: torch.empty(4).uniform_(),
    "gumbel_softmax": lambda: F.gumbel_softmax(P2),
    "dropout": lambda: F.dropout(X4),
    "dropout, with gradient": lambda: F.dropout(X4.clone().requires_grad_()),
    "dropout2d": lambda: F.dropout2d(X4),
    "alpha_dropout": lambda: F.alpha_dropout(X4, training=True),
    "feature_alpha_dropout": lambda: F.feature_alpha_dropout(X4, training=True),
    "rrelu": lambda: F.rrelu(X4, training=True),
    "fractional_max_pool2d": lambda: F.fractional_max_pool2d(X9, 2, output_size=4),
    "attention": lambda: F.scaled_dot_product_attention(X4, X4, X4, dropout_p=0.5),
    "LSTM": lambda: nn.LSTM(4, 4, 2, dropout=0.5)(X4[0])[0],
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(4, 2, 8)(X4[0]),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(4, 4)),
    "Beta": lambda: torch.distributions.Beta(P2, P2).sample(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_operation_draws_from_the_private_generator(name, keep_global_states):
    outputs = []
    for global_seed, seed in [(1, 0), (2, 0), (2, 1)]:
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        with PrivateRandomness(make_generator(seed)):
            outputs.append(DRAWS[name]().detach())
        assert torch.equal(torch.get_rng_state(), before)
    same, again, other = outputs
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    plain = DRAWS[name]()
    assert (same.dtype, same.shape) == (plain.dtype, plain.shape)


# -- what random_state may be -------------------------------------------------


def test_another_random_state_gives_another_model():
    model, X, y = make_case("convnet")
    outputs = [
        fitted_outputs(model.set_params(random_state=seed), X, y) for seed in range(3)
    ]
    assert len({out.tobytes() for out in outputs}) == 3


def test_random_state_instance_advances():
    model, X, y = make_case("convnet")
    runs = []
    for _ in range(2):
        model.set_params(random_state=np.random.RandomState(0))
        runs.append([fitted_outputs(model, X, y) for _ in range(2)])
    assert not np.array_equal(runs[0][0], runs[0][1])
    assert np.array_equal(runs[0], runs[1])


def test_without_random_state_fits_vary():
    model, X, y = make_case("convnet")
    model.set_params(random_state=None)
    assert not np.array_equal(fitted_outputs(model, X, y), fitted_outputs(model, X, y))


def test_without_random_state_numpys_seed_decides(keep_global_states):
    """As in scikit-learn: None is NumPy's global generator."""
    model, X, y = make_case("dropout")
    model.set_params(random_state=None)
    outputs = []
    for torch_seed in (1, 2):
        seed_globally(torch_seed)
        np.random.seed(0)  # noqa: NPY002
        before = global_states()
        outputs.append(fitted_outputs(model, X, y))
        after = global_states()
        assert (before[0], before[2]) == (after[0], after[2])
    assert np.array_equal(*outputs)


def test_training_goes_on_alike_after_a_pickle():
    model, X, y = make_case("dropout")
    model.set_params(warm_start=True).fit(X, y)  # and keeps its optimiser
    copy = pickle.loads(pickle.dumps(model))
    outputs = [m.partial_fit(X, y).predict_proba(X) for m in (model, copy)]
    assert np.array_equal(*outputs)


class NoisySteps(torch.optim.SGD):
    def step(self, closure=None):
        for weight in self.param_groups[0]["params"]:
            weight.grad.add_(torch.randn_like(weight), alpha=0.01)
        return super().step(closure)


class NoisyGradients(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, weight in named_parameters:
            weight.grad.add_(torch.randn_like(weight), alpha=0.01)


@pytest.mark.parametrize(
    "parameters",
    [
        {"augmentation": lambda batch, generator: batch + torch.rand(batch.shape)},
        {"callbacks": [Initializer("*weight", fn=nn.init.normal_)]},
        {"callbacks": [NoisyGradients()]},
        {"optimizer": NoisySteps},
    ],
    ids=["augmentation", "initializer", "gradients", "optimizer"],
)
def test_code_of_others_draws_the_random_numbers_of_the_fit(parameters, rng):
    X, y = rng.random((40, 8, 8)), np.arange(40) % 3
    state = torch.get_rng_state()
    first, second, other = (
        CNNClassifier(**TINY, **parameters, random_state=seed)
        .fit(X, y)
        .predict_proba(X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
