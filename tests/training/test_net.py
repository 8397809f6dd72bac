import importlib
from copy import deepcopy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skcnn.data import Batches
from skcnn.runtime import make_generator
from skcnn.runtime.allocation import memory_keeper
from skcnn.training import SCHEDULES, WeightAveraging, train_net

pytestmark = pytest.mark.usefixtures("untouched_globals")


@pytest.fixture(autouse=True)
def _one_thread(set_threads):
    set_threads(1)


def train(net, dataset, epochs=2, **options):
    options = {"lr_schedule": "one_cycle", **options}
    train_net(net, dataset, epochs, generator=make_generator(7), **options)
    return net


def weights(net):
    return [p.detach().clone() for p in net.module_.parameters()]


def assert_equal_weights(first, second):
    for a, b in zip(weights(first), weights(second), strict=True):
        assert torch.equal(a, b)


class OnBatches(Callback):
    """A callback that wants every batch."""

    def on_batch_end(self, net, **kwargs):
        self.learning_rates = [*getattr(self, "learning_rates", ()), learning_rate(net)]


def learning_rate(net):
    return net.optimizer_.param_groups[0]["lr"]


class Head(nn.Module):
    """One fully connected layer, the base of odd networks."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.output = nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        return self.output(x.flatten(1))


def test_training_lowers_the_loss_and_records_an_epoch_a_row(make_net, make_dataset):
    net = train(make_net(), make_dataset(), epochs=8)
    losses = net.history[:, "train_loss"]
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]
    assert all(duration > 0 for duration in net.history[:, "dur"])


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_the_same_seeds_train_the_same_network(
    make_net, make_dataset, images, precision
):
    images.dtype = torch.float64 if precision == "float64" else torch.float32
    nets = [train(make_net(precision=precision), make_dataset()) for _ in range(2)]
    assert_equal_weights(*nets)


@pytest.mark.parametrize("what", ["weights", "order"])
def test_another_seed_trains_another_network(make_net, make_dataset, what):
    first = train(make_net(), make_dataset())
    if what == "weights":
        second = train(make_net(seed=1), make_dataset())
    else:
        second = train(make_net(), make_dataset(seed=1))
    assert not torch.equal(weights(first)[0], weights(second)[0])


@pytest.mark.parametrize("flops", [1, 1e12])
def test_a_callback_that_looks_at_batches_changes_nothing(
    make_net, make_dataset, flops
):
    lean, watched = make_net(), make_net(callbacks=[OnBatches()])
    for net in (lean, watched):
        net.flops_ = flops
        train(net, make_dataset(weights=torch.linspace(0.5, 1.5, 20)))
    assert_equal_weights(lean, watched)
    np.testing.assert_allclose(
        lean.history[:, "train_loss"], watched.history[:, "train_loss"], rtol=1e-6
    )


@pytest.mark.parametrize(
    "schedule", [*SCHEDULES, None, lambda progress: 1 - progress**2]
)
def test_each_step_has_the_learning_rate_of_the_schedule(
    make_net, make_dataset, schedule
):
    watcher = OnBatches()
    train(
        make_net(callbacks=[watcher], lr=0.02), make_dataset(), 3, lr_schedule=schedule
    )
    n_steps = 3 * len(Batches(make_dataset(), 8))
    factor = schedule if callable(schedule) else SCHEDULES[schedule or "constant"]
    expected = [0.02 * factor(step / n_steps) for step in range(n_steps)]
    np.testing.assert_allclose(watcher.learning_rates, expected)


def test_the_optimizer_goes_on_or_starts_afresh(make_net, make_dataset):
    net = train(make_net(), make_dataset())
    optimizer = net.optimizer_
    assert train(net, make_dataset()).optimizer_ is optimizer
    net.renew()
    assert train(net, make_dataset()).optimizer_ is not optimizer


def test_frozen_parameters_stay(make_net, make_dataset):
    class HalfFrozen(Head):
        def __init__(self, input_shape, n_outputs):
            super().__init__(input_shape, n_outputs)
            self.output.weight.requires_grad_(False)

    net = make_net(HalfFrozen)
    before = weights(net)
    after = weights(train(net, make_dataset()))
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, nn.MSELoss])
def test_the_loss_is_the_mean_of_weighted_losses(make_net, criterion):
    net = make_net(criterion=criterion)
    outputs = torch.randn(6, 2, generator=make_generator(0))
    targets = torch.randn(6, 2, generator=make_generator(1))
    if criterion is nn.CrossEntropyLoss:
        targets = torch.tensor([0, 1, 1, 0, 1, 0])
    each = torch.stack(
        [criterion()(outputs[i : i + 1], targets[i : i + 1]) for i in range(6)]
    )
    weight = torch.tensor([0.0, 1, 2, 0.5, 3, 1.5])
    torch.testing.assert_close(net.get_loss(outputs, targets), each.mean())
    torch.testing.assert_close(
        net.get_loss(outputs, (targets, weight)), (weight * each).mean()
    )
    torch.testing.assert_close(net.get_loss(outputs, targets), each.mean())


@pytest.mark.parametrize("watched", [False, True])
def test_the_loss_of_an_epoch_weighs_batches_by_their_size(
    make_net, make_dataset, watched
):
    callbacks = [OnBatches()] if watched else None
    net = make_net(Head, lr=1e-30, batch_size=19, callbacks=callbacks)
    dataset = make_dataset()
    train(net, dataset, epochs=1)
    X, y = dataset.take(torch.arange(20))
    with torch.no_grad():
        expected = nn.functional.cross_entropy(net.module_(X), y).item()
    assert net.history[0, "train_loss"] == pytest.approx(expected, rel=1e-5)


def test_one_sample_does_not_change_the_statistics_of_batch_norm(
    make_net, make_dataset
):
    dataset = make_dataset()
    dataset.images.source = dataset.images.source[:1]
    net = make_net()
    before = net.module_.block1.norm.running_var.clone()
    train(net, dataset)
    assert torch.equal(net.module_.block1.norm.running_var, before)
    assert all(p.isfinite().all() for p in net.module_.parameters())


def test_random_layers_have_no_generator_after_training(make_net, make_dataset):
    net = train(make_net(), make_dataset())
    assert net.module_.block1.dropout.p > 0
    assert net.module_.block1.dropout.generator is None


class WithTorchsDropout(Head):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class WithLateDropout(Head):
    """Drops nothing in its first step."""

    n_steps = 0

    def forward(self, x):
        self.n_steps += self.training
        rate = 0.5 if self.n_steps > 1 else 0.0
        return super().forward(nn.functional.dropout(x, rate, self.training))


class WithoutEarlyDraws(Head):
    """Draws no random number in its first step."""

    n_steps = 0

    def forward(self, x):
        self.n_steps += self.training
        noise = torch.randn_like(x) if self.n_steps > 1 else 0
        return super().forward(x + noise)


@pytest.mark.parametrize(
    "architecture", [WithTorchsDropout, WithLateDropout, WithoutEarlyDraws]
)
def test_random_layers_of_others_draw_from_the_generator(
    make_net, make_dataset, architecture
):
    nets = [train(make_net(architecture), make_dataset()) for _ in range(2)]
    assert_equal_weights(*nets)


def seen_threads(make_net, make_dataset, flops):
    """Return the numbers of threads with which a network of some size computes."""
    net, seen = make_net(), set()
    net.flops_ = flops
    net.module_.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    train(net, make_dataset())
    return seen


def test_small_fits_run_on_one_thread(make_net, make_dataset, set_threads):
    set_threads(2)
    assert seen_threads(make_net, make_dataset, flops=1) == {1}
    assert seen_threads(make_net, make_dataset, flops=1e12) == {2}
    assert torch.get_num_threads() == 2


@pytest.mark.numerics
def test_a_large_fit_differs_by_rounding_at_another_number_of_threads(
    make_net, make_dataset, images, set_threads
):
    images.dtype = torch.float64
    nets = []
    for n_threads in (1, 2, 2):
        set_threads(n_threads)
        net = make_net(precision="float64")
        net.flops_ = 1e12
        nets.append(weights(train(net, make_dataset())))
    for first, second, again in zip(*nets, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-9)
        assert torch.equal(second, again)


@pytest.mark.numerics
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_is_a_plain_loop_of_torch(make_net, make_dataset, images, optimizer):
    images.dtype = torch.float64
    net = make_net(precision="float64", optimizer=optimizer, dropout=0.0)
    plain = deepcopy(net.module_).train()
    step_by = deepcopy(net.optimizer_)
    step_by.param_groups[0]["params"] = list(plain.parameters())
    train(net, make_dataset(), epochs=2, lr_schedule=None)
    dataset = make_dataset()
    for _ in range(2):
        for X, y in Batches(dataset, 8, shuffle=True):
            step_by.zero_grad()
            nn.functional.cross_entropy(plain(X), y).backward()
            step_by.step()
    for ours, theirs in zip(weights(net), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize(("epochs", "is_kept"), [(4, True), (3, False)])
def test_memory_is_kept_in_long_fits(
    make_net, make_dataset, monkeypatch, epochs, is_kept
):
    calls, keep = [], memory_keeper.keep
    monkeypatch.setattr(memory_keeper, "keep", lambda: calls.append(1) or keep())
    train(make_net(), make_dataset(), epochs=epochs)  # of three batches
    assert bool(calls) == is_kept


def test_a_diverging_loss_says_when_and_what_to_lower(make_net, make_dataset):
    net = make_net(Head, optimizer="sgd", lr=1e30)
    with pytest.raises(ValueError, match=r"became (nan|inf) in epoch \d.*1e\+30"):
        train(net, make_dataset(), epochs=5, lr_schedule=None)


@pytest.mark.parametrize("architecture", [Head, "convnet"])
@pytest.mark.parametrize("kind", [None, "swa", "ema"])
def test_the_last_step_may_not_diverge_either(
    make_net, make_dataset, architecture, kind
):
    net = make_net(architecture, lr=1e30, batch_size=64)
    dataset = make_dataset()
    monitors = [WeightAveraging(kind, dataset, 1, is_watched=False)] if kind else []
    with pytest.raises(ValueError, match=r"weights became (nan|inf) in epoch 1\. L"):
        train(net, dataset, epochs=1, lr_schedule=None, monitors=monitors)


class WithLargeMaps(Head):
    """A network whose variances overflow while its outputs are finite."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.norm = nn.BatchNorm2d(input_shape[0])

    def forward(self, x):
        return super().forward(self.norm(1e25 * x))


def test_statistics_of_batch_norm_may_not_overflow(make_net, make_dataset):
    with pytest.raises(ValueError, match=r"statistics became (nan|inf) in epoch 2"):
        train(make_net(WithLargeMaps), make_dataset())


class WithMask(Head):
    """A network with an infinite constant."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.register_buffer("mask", torch.full((), -torch.inf))

    def forward(self, x):
        return super().forward(x.maximum(self.mask))


def test_infinite_constants_of_a_network_are_no_divergence(make_net, make_dataset):
    assert len(train(make_net(WithMask), make_dataset()).history) == 2


def test_ctrl_c_in_a_step_is_let_through(make_net, make_dataset):
    class Interrupted(Head):
        def forward(self, x):
            if self.training:
                raise KeyboardInterrupt
            return super().forward(x)

    with pytest.raises(KeyboardInterrupt):
        train(make_net(Interrupted), make_dataset())


def test_early_stopping_of_skorch_ends_training(make_net, make_dataset):
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=0.5)
    net = make_net(lr=1e-6, callbacks=[stopping])
    try:
        train(net, make_dataset(), epochs=20)
    except KeyboardInterrupt:
        pytest.fail("the callback's way to stop, a KeyboardInterrupt, got out")
    assert len(net.history) == 3


def test_callbacks_see_the_beginning_and_the_end(make_net, make_dataset):
    calls = []

    class Recorder(Callback):
        def on_train_begin(self, net, **kwargs):
            calls.append("train begins")

        def on_epoch_begin(self, net, **kwargs):
            calls.append("epoch begins")

        def on_epoch_end(self, net, **kwargs):
            calls.append(f"epoch {len(net.history)} ends")

        def on_train_end(self, net, **kwargs):
            calls.append("train ends")

    train(make_net(callbacks=[Recorder]), make_dataset())
    epochs = ["epoch begins", "epoch 1 ends", "epoch begins", "epoch 2 ends"]
    assert calls == ["train begins", *epochs, "train ends"]


@pytest.mark.parametrize(("verbose", "n_lines"), [(0, 0), (1, 4)])
def test_verbose_prints_a_line_for_each_epoch(
    make_net, make_dataset, capsys, verbose, n_lines
):
    train(make_net(verbose=verbose), make_dataset())
    assert len(capsys.readouterr().out.splitlines()) == n_lines


@pytest.mark.parametrize(
    ("device", "n_gpus", "expected"),
    [
        ("cuda:1", 2, "cuda:1"),
        ("cuda:1", 1, "cuda:0"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 0, "cpu"),
        ("cpu", 1, "cpu"),
    ],
)
def test_a_net_of_a_gpu_that_is_not_there_loads_on_another_device(
    monkeypatch, device, n_gpus, expected
):
    states = importlib.import_module("skcnn.training.net_state")
    monkeypatch.setattr(states, "count_gpus", lambda: n_gpus)
    assert states._present(torch.device(device)) == torch.device(expected)
