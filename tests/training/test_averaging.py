import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from skcnn.runtime import make_generator
from skcnn.training import WeightAveraging, train_net
from skcnn.training.averaging import renew_batch_norm

pytestmark = pytest.mark.usefixtures("untouched_globals")
N_EPOCHS = 8


@pytest.fixture(autouse=True)
def _one_thread(set_threads):
    set_threads(1)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.module_.parameters()])


class Snapshots(Callback):
    """Keeps the weights after each step, and after each epoch."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_batch_end(self, net, **kwargs):
        self.steps.append(weights(net))

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(weights(net))


def train(net, dataset, kind, is_watched=False):
    monitors = []
    if kind is not None:
        monitors.append(WeightAveraging(kind, dataset, N_EPOCHS, is_watched))
    train_net(
        net,
        dataset,
        N_EPOCHS,
        lr_schedule=None,
        generator=make_generator(7),
        monitors=monitors,
    )
    return net


@pytest.fixture
def snapshots(make_net, make_dataset):
    """Weights in the course of a training without averages."""
    callback = Snapshots()
    train(make_net(callbacks=[callback]), make_dataset(), None)
    return callback


def test_swa_is_the_mean_over_the_last_quarter_of_the_epochs(
    make_net, make_dataset, snapshots
):
    net = train(make_net(), make_dataset(), "swa")
    expected = torch.stack(snapshots.epochs[6:]).mean(dim=0)
    torch.testing.assert_close(weights(net), expected)
    assert not torch.allclose(weights(net), snapshots.epochs[-1])


def test_ema_forgets_at_the_pace_of_an_epoch(make_net, make_dataset, snapshots):
    net = train(make_net(), make_dataset(), "ema")
    expected = snapshots.steps[0]
    for n_averaged, step in enumerate(snapshots.steps[1:], start=1):
        decay = min(0.75, (1 + n_averaged) / (10 + n_averaged))  # 3 steps an epoch
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(weights(net), expected)


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_looking_at_the_average_does_not_change_it(make_net, make_dataset, kind):
    alone = train(make_net(), make_dataset(), kind)
    watched = train(make_net(), make_dataset(), kind, is_watched=True)
    for a, b in zip(
        alone.module_.state_dict().values(),
        watched.module_.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_batch_norm_has_the_statistics_of_the_averaged_weights(
    make_net, make_dataset, kind
):
    dataset = make_dataset()
    net = train(make_net(batch_size=20), dataset, kind)  # one batch: exact
    seen = {}
    norm = net.module_.block2.norm
    norm.register_forward_hook(lambda _, args, out: seen.update(x=args[0]))
    net.module_.eval()
    with torch.no_grad():
        net.module_(dataset.take(torch.arange(20))[0])
    x = seen["x"].transpose(0, 1).flatten(1)
    # the first block's statistics divide by n - 1, which is felt here
    torch.testing.assert_close(norm.running_mean, x.mean(1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(norm.running_var, x.var(1), rtol=1e-3, atol=1e-5)
    assert norm.momentum == 0.1


def test_batch_norm_keeps_its_momentum_where_renewal_is_interrupted(
    make_net, make_dataset
):
    def interrupt(*args):
        raise KeyboardInterrupt

    net = make_net()
    net.module_.block2.register_forward_pre_hook(interrupt)
    with (
        net.ready(make_dataset(), make_generator(0)),
        pytest.raises(KeyboardInterrupt),
    ):
        renew_batch_norm(net, make_dataset())
    assert net.module_.block1.norm.momentum == 0.1


def test_batch_norm_that_stays_in_evaluation_mode_keeps_its_statistics(
    make_net, make_dataset
):
    net = make_net()

    def set_training(training=True):
        net.module_.train(training)
        net.module_.block1.norm.eval()

    net._set_training = set_training
    frozen, free = net.module_.block1.norm, net.module_.block2.norm
    before = [norm.running_mean.clone() for norm in (frozen, free)]
    with net.ready(make_dataset(), make_generator(0)):
        renew_batch_norm(net, make_dataset())
    assert torch.equal(frozen.running_mean, before[0])
    assert not torch.equal(free.running_mean, before[1])


def test_parameters_that_are_not_trained_are_not_averaged(make_net, make_dataset):
    class HalfFrozen(nn.Module):
        def __init__(self, input_shape, n_outputs):
            super().__init__()
            self.output = nn.Linear(int(np.prod(input_shape)), n_outputs)
            self.output.bias.requires_grad_(False)

        def forward(self, x):
            return self.output(x.flatten(1))

    net = make_net(HalfFrozen)
    before = net.module_.output.bias.clone()
    train(net, make_dataset(), "ema")
    assert torch.equal(net.module_.output.bias, before)
