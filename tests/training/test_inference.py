import numpy as np
import pytest
import torch
from torch import nn

from skcnn.data import ChannelScaler, Images, find_layout
from skcnn.modules import build_module
from skcnn.runtime import DTYPES
from skcnn.training import predict_batches

N_SAMPLES = 64
BATCH_SIZES = [1, 2, 3, 7, 64]
NETWORKS = {
    "one value": ("convnet", (1,), {}),
    "signals": ("convnet", (24,), {}),
    "grey": ("convnet", (8, 8), {}),
    "colour": ("convnet", (16, 12, 3), {}),
    "volumes": ("convnet", (6, 5, 7, 1), {}),
    "group norm": ("convnet", (8, 8), {"norm": "group"}),
    "strides": ("convnet", (8, 8), {"pooling": "stride", "kernel_size": 2}),
    "resnet20": ("resnet20", (16, 16, 3), {}),
    "hidden layers": ("convnet", (8, 8), {"hidden_layer_sizes": (64,)}),
    "lenet5": ("lenet5", (16, 16), {}),
}


@pytest.fixture
def build(rng, set_threads):
    """Return a function that makes a network and images for it."""

    def make(architecture, sample_shape, hyperparameters, precision="float32"):
        X = rng.normal(size=(N_SAMPLES, *sample_shape))
        layout = find_layout(sample_shape)
        dtype = DTYPES[precision]
        images = Images(X, ChannelScaler(layout).fit(X), torch.device("cpu"), dtype)
        small = {"n_filters": 8, **hyperparameters}
        module = build_module(architecture, layout.input_shape, 10, small)
        return module.to(dtype), images

    set_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield make


def test_small_predictions_run_on_one_thread(build, set_threads):
    module, images = build(*NETWORKS["grey"])
    seen = []
    module.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    set_threads(2)
    for flops in (1e6, 1e7):
        predict_batches(module, images, 32, "float32", flops)
    predict_batches(module, images, 32, "float32")
    assert seen == [1, 1, 2, 2, 2, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.numerics
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_are_those_of_the_network_on_the_whole(build, network, precision):
    module, images = build(*NETWORKS[network], precision)
    with torch.no_grad():
        expected = module.eval()(images.take(slice(None))).double()
    tolerance = {"float32": 1e-5, "float64": 1e-13}[precision]
    for batch_size in BATCH_SIZES:
        outputs = predict_batches(module, images, batch_size, precision)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance)


def test_outputs_come_in_double_precision_on_the_cpu(build):
    module, images = build(*NETWORKS["grey"])
    for precision in ("float32", "bfloat16"):
        outputs = predict_batches(module, images, 64, precision)
        assert isinstance(outputs, np.ndarray)
        assert outputs.dtype == np.float64


def test_bfloat16_is_near_float32_and_not_equal(build):
    module, images = build(*NETWORKS["grey"])
    full = predict_batches(module, images, 64, "float32")
    half = predict_batches(module, images, 64, "bfloat16")
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


def test_the_network_is_left_in_evaluation_and_unchanged(build):
    module, images = build("convnet", (8, 8), {"dropout": 0.5})
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    first = predict_batches(module, images, 7, "float32")
    assert not any(layer.training for layer in module.modules())
    np.testing.assert_array_equal(predict_batches(module, images, 7, "float32"), first)
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_gradients_are_not_kept(build):
    module, images = build(*NETWORKS["grey"])
    seen = []
    module.register_forward_hook(lambda *call: seen.append(call[-1].requires_grad))
    predict_batches(module, images, 64, "float32")
    assert seen == [False]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_an_error(build, value):
    _, images = build(*NETWORKS["grey"])
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        module[1].bias[3] = value
    with pytest.raises(ValueError, match="returned NaN or infinity"):
        predict_batches(module, images, 7, "float32")
