import copy

import pytest
import torch
from torch.nn import functional as F

from skcnn.modules import TextCNN

N_WORDS = 40
SIZES = (1, 2, 4)


@pytest.fixture
def net():
    """A network with filters over one, two and four words."""
    return make()


def make(mode="rand", seed=0, **parameters):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        defaults = {"embedding_dim": 7, "filter_sizes": SIZES, "n_filters": 5}
        net = TextCNN(N_WORDS, 3, mode=mode, **{**defaults, **parameters})
    return net.double().eval()


def sentences(*lengths, seed=0, length=None):
    """Return codes of sentences of some lengths, filled up with zeros."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.zeros(len(lengths), length or max(*lengths, 1), dtype=torch.int64)
    for row, n_words in zip(codes, lengths, strict=True):
        row[:n_words] = torch.randint(1, N_WORDS, (n_words,), generator=generator)
    return codes


def convolved(net, codes):
    """Return the features of one sentence, by torch's convolution."""
    layers = net.features
    codes = codes[codes > 0]
    vectors = sum(layer.weight[codes] for layer in layers.embeddings.values()).T
    features = []
    for number, size in enumerate(layers.filters.sizes):
        filters = [layers.filters.one(5 * number + column) for column in range(5)]
        weight = torch.stack([weight.T for weight, _ in filters])
        bias = torch.stack([bias for _, bias in filters])
        if len(codes):
            out = F.conv1d(vectors, weight, bias, padding=size - 1)
            features.append(out.relu().amax(1))
        else:
            features.append(0 * bias)
    return torch.cat(features)


LENGTHS = [(6, 1, 9, 0, 3), (1,), (0,), (0, 0), (2, 2)]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("mode", ["rand", "static", "multichannel"])
def test_features_are_those_of_a_convolution_of_each_sentence(lengths, mode):
    net, codes = make(mode), sentences(*lengths)
    expected = torch.stack([convolved(net, row) for row in codes])
    torch.testing.assert_close(net.features(codes), expected)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_gradients_are_those_of_a_convolution(lengths):
    net, codes = make(), sentences(*lengths)
    other = copy.deepcopy(net)
    scale = torch.linspace(-1, 2, 15).double()
    (net.features(codes) * scale).sum().backward()
    sum((convolved(other, row) * scale).sum() for row in codes).backward()
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        if ours.grad is None or theirs.grad is None:  # no word, no convolution
            for gradient in (ours.grad, theirs.grad):
                assert gradient is None or not gradient.to_dense().any()
            continue
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad.to_dense())


def test_padding_and_neighbours_change_nothing(net):
    short, long = sentences(3, 2), sentences(3, 2, length=11)
    assert torch.equal(short, long[:, :3])
    torch.testing.assert_close(net(long), net(short))
    mixed = torch.cat([sentences(11, 7, seed=1), long])
    torch.testing.assert_close(net(mixed)[2:], net(short))


def test_a_sentence_without_words_has_features_of_0(net):
    codes = sentences(0, 4)
    assert not net.features(codes)[0].any()
    assert net.features(codes)[1].any()
    torch.testing.assert_close(net(codes)[0], net.output.bias)


def test_the_order_of_words_matters_within_windows_only(net):
    codes = torch.tensor([[5, 6, 7], [7, 6, 5]])
    features = net.features(codes)
    assert torch.equal(features[0, :5], features[1, :5])  # of single words
    assert (features[0, 5:] != features[1, 5:]).any()


def test_the_vector_of_no_word_is_0_and_has_no_gradient(net):
    net(sentences(2, 5)).sum().backward()
    gradient = net.features.embeddings["learnt"].weight.grad
    assert not net.features.embeddings["learnt"].weight[0].any()
    assert 0 not in gradient._indices()


def test_the_vector_of_unknown_words_is_0_and_has_a_gradient(net):
    net(torch.tensor([[1, 7]])).sum().backward()
    weight = net.features.embeddings["learnt"].weight
    assert not weight[1].any()
    assert weight.grad.to_dense()[1].any()


def test_the_gradient_has_a_row_for_each_word_that_occurs(net):
    codes = torch.tensor([[9, 4, 4], [4, 9, 0]])
    net(codes).sum().backward()
    gradient = net.features.embeddings["learnt"].weight.grad
    assert gradient._indices().tolist() == [[4, 9]]


@pytest.mark.parametrize(
    ("mode", "learnt"),
    [("static", False), ("non-static", True), ("multichannel", True)],
)
def test_given_vectors_are_kept_learnt_or_both(mode, learnt):
    vectors = torch.randn(N_WORDS, 4, generator=torch.Generator().manual_seed(0))
    net = make(mode, vectors=vectors.double())
    layers = net.features.embeddings
    assert {k: w.weight.requires_grad for k, w in layers.items()} == {
        kind: kind == "learnt"
        for kind in ("learnt", "kept")
        if kind == ("learnt" if learnt else "kept") or mode == "multichannel"
    }
    for layer in layers.values():
        assert torch.equal(layer.weight[2:], vectors[2:].double())
        assert layer.weight is not vectors


def test_random_vectors_are_within_a_quarter_of_0():
    weight = make(embedding_dim=50).features.embeddings["learnt"].weight[2:]
    assert 0.24 < weight.max() <= 0.25
    assert -0.25 <= weight.min() < -0.24


def test_responses_are_largest_where_the_feature_comes_from(net):
    codes = sentences(6, 1, 9, 3)
    features = net.features(codes)
    for index in range(features.shape[1]):
        windows, responses = net.features.responses(codes, index)
        responses = responses.where((windows > 0).any(2), 0)
        torch.testing.assert_close(responses.amax(1), features[:, index])
        size = SIZES[index // 5]
        assert windows.shape == (4, 9 + size - 1, size)
        assert windows[:, :1, -1].tolist() == codes[:, :1].tolist()  # the first word


def test_there_is_a_window_for_each_word_and_some_beyond_the_end(net):
    windows, _ = net.features.responses(torch.tensor([[7, 8], [9, 0]]), 5)
    assert windows.tolist() == [[[0, 7], [7, 8], [8, 0]], [[0, 9], [9, 0], [0, 0]]]


def test_norms_are_brought_back_where_they_are_larger():
    net = make(max_norm=2.0)
    with torch.no_grad():
        net.output.weight[0] *= 5 / net.output.weight[0].norm()
        net.output.weight[1] = 0
        net.output.weight[2] *= 1.5 / net.output.weight[2].norm()
    before = net.output.weight.detach().clone()
    net.after_step()
    assert net.output.weight.norm(dim=1).tolist() == pytest.approx([2, 0, 1.5])
    torch.testing.assert_close(net.output.weight[0], before[0] * 2 / 5)
    assert torch.equal(net.output.weight[1:], before[1:])


def test_without_a_largest_norm_weights_stay():
    net = make(max_norm=None)
    before = net.output.weight.detach().clone()
    net.after_step()
    assert torch.equal(net.output.weight, before)
