"""The classifier of sentences."""

import gzip
import pickle
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skcnn import CNNFeatureTransformer, FineTunedClassifier, TextCNNClassifier

NETWORK = {"embedding_dim": 16, "n_filters": 4, "filter_sizes": (2, 3)}
SMALL = {**NETWORK, "batch_size": 8, "lr": 0.01, "random_state": 0}
WORDS = ["it", "is", "was", "this", "film", "a", "the", "very", "so"]
TOLD = ["dull", "good"]


@pytest.fixture(scope="module")
def data():
    """Return sentences of unequal length, told apart by one word in some place."""
    rng = np.random.default_rng(0)
    X, y = [], np.arange(80) % 2
    for label in y:
        words = rng.choice(WORDS, rng.integers(0, 9)).tolist()
        words.insert(rng.integers(len(words) + 1), TOLD[label])
        X.append(" ".join(words))
    return X, np.array(["no", "yes"])[y]


@pytest.fixture(scope="module")
def fitted(data):
    return TextCNNClassifier(**SMALL, max_epochs=8).fit(*data)


@pytest.fixture(scope="module")
def vectors():
    """Return vectors of most words and of some others."""
    rng = np.random.default_rng(0)
    words = [*WORDS[:-1], *TOLD, "other"]
    return {word: rng.normal(size=6).astype(np.float32) for word in words}


def state(clf):
    return [value.clone() for value in clf.module_.state_dict().values()]


def are_equal(first, second):
    return all(map(torch.equal, state(first), state(second)))


# Learning


def test_a_word_is_found_wherever_it_stands(fitted, data):
    assert fitted.score(*data) == 1
    assert fitted.predict(["the good film", "dull"]).tolist() == ["yes", "no"]
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] / 2


def test_the_order_of_words_is_learnt():
    X = ["not good but dull", "not dull but good"] * 20
    clf = TextCNNClassifier(**SMALL, max_epochs=20).fit(X, [0, 1] * 20)
    assert clf.score(X, [0, 1] * 20) == 1


@pytest.mark.parametrize("mode", ["static", "non-static", "multichannel"])
def test_given_vectors_are_used_as_the_mode_says(data, vectors, mode):
    clf = TextCNNClassifier(vectors, mode=mode, **SMALL, max_epochs=8).fit(*data)
    assert clf.score(*data) > 0.9
    row = clf.vocabulary_["film"]
    layers = clf.module_.features.embeddings
    given = torch.from_numpy(vectors["film"])
    assert "kept" not in layers or torch.equal(layers["kept"].weight[row], given)
    if "learnt" in layers:
        assert not torch.equal(layers["learnt"].weight[row], given)
        assert (layers["learnt"].weight[row] - given).abs().max() < 0.5


def test_words_without_a_vector_get_one_of_the_same_variance(data, vectors):
    clf = TextCNNClassifier(vectors, mode="static", **SMALL, max_epochs=1).fit(*data)
    weight = clf.module_.features.embeddings["kept"].weight
    bound = np.sqrt(3 * np.var([vectors[w] for w in clf.vocabulary_ if w in vectors]))
    assert 0 < weight[clf.vocabulary_["so"]].abs().max() <= bound
    assert not weight[:2].any()  # those of no word and of unknown words


def test_vectors_that_are_not_used_and_those_that_are_missing_are_errors(data, vectors):
    with pytest.raises(ValueError, match=r"mode='rand' ignores them\. Set"):
        TextCNNClassifier(vectors).fit(*data)
    with pytest.raises(ValueError, match=r"mode='static' needs word vectors\. Pass"):
        TextCNNClassifier(mode="static").fit(*data)


def test_weights_of_a_class_have_a_largest_norm(data):
    def norms(max_norm):
        clf = TextCNNClassifier(**SMALL, max_norm=max_norm, max_epochs=8).fit(*data)
        return clf.module_.output.weight.norm(dim=1)

    assert (norms(0.5) <= 0.5 + 1e-6).all()
    assert (norms(None) > 0.6).all()


# Sentences


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        tuple,
        np.array,
        partial(np.array, dtype=object),
        lambda X: np.array(X)[:, None],
        pd.Series,
        partial(pd.Series, dtype="category"),
        pl.Series,
        lambda X: pd.DataFrame({"text": X}, index=range(7, 7 + len(X))),
        lambda X: pl.DataFrame({"text": X}),
    ],
)
def test_sentences_may_come_in_any_sequence(fitted, data, wrap):
    X, y = data
    np.testing.assert_array_equal(fitted.predict(wrap(X)), fitted.predict(X))
    clf = TextCNNClassifier(**SMALL, max_epochs=1)
    first, second = clf.fit(wrap(X), y), clone(clf).fit(X, y)
    assert are_equal(first, second)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a film", ValueError, "raw text documents expected, string object received"),
        ([], ValueError, r"0 sample\(s\)"),
        (np.array([], dtype=object), ValueError, r"0 sample\(s\)"),
        (["a", None], ValueError, r"missing value \(None\) in row 1"),
        (["a", "b", np.nan], ValueError, r"missing value \(nan\) in row 2"),
        (pd.Series(["a", pd.NA]), ValueError, "missing value .* in row 1"),
        ([b"a", "b"], TypeError, r"a bytes in row 0, expected a string\. Decode it"),
        (["a", 7], TypeError, "int in row 1, expected a string"),
        ([["a"], ["b"]], TypeError, "list in row 0, expected a string"),
        ([1.0, 2.0], TypeError, "float in row 0, expected a string"),
        (np.ones(2), TypeError, "ndarray of dtype float64, expected a sequence of str"),
        (np.ones((2, 3)), ValueError, r"shape \(2, 3\), expected a sequence"),
        (np.array([["a", "b"]]), ValueError, r"shape \(1, 2\), expected a sequence"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "2 columns.*'a', 'b'"),
        (7, TypeError, "X is a int, expected a sequence of strings"),
    ],
)
def test_what_is_no_sequence_of_strings_is_refused(fitted, X, error, message):
    y = ["yes"] * np.size(X)
    for use in (
        lambda X: TextCNNClassifier(**SMALL).fit(X, y),
        fitted.predict,
        fitted.transform,
    ):
        with pytest.raises(error, match=message):
            use(X)


def test_without_words_there_is_no_network():
    with pytest.raises(ValueError, match="empty vocabulary"):
        TextCNNClassifier(**SMALL).fit(["", " "], [0, 1])


def test_sentences_may_be_empty_short_or_unknown(data):
    X, y = data
    clf = TextCNNClassifier(**SMALL, max_epochs=1).fit(["", "", *X], ["no", "yes", *y])
    proba = clf.predict_proba(["", "   ", "good", "zzz", "zzz good"])
    assert np.isfinite(proba).all()
    np.testing.assert_array_equal(proba[0], proba[1])
    assert len(np.unique(proba[[0, 2, 3], 0])) == 3
    assert not clf.transform([""]).any()


def test_unknown_words_are_all_alike(fitted):
    known, other = fitted.predict_proba(["zzz film", "qqq film"])
    np.testing.assert_array_equal(known, other)


assert_close = partial(np.testing.assert_allclose, rtol=2e-6, atol=0)


def test_a_sentence_has_the_same_outputs_in_any_company(fitted, data):
    X = [*data[0], "", "good", " ".join(data[0])]
    proba, features = fitted.predict_proba(X), fitted.transform(X)
    for row, text in enumerate(X):
        assert_close(fitted.predict_proba([text])[0], proba[row])
        assert_close(fitted.transform([text])[0], features[row])
    assert_close(fitted.predict_proba(X[::-1])[::-1], proba)
    clf = clone(fitted).set_params(batch_size=3).fit(*data)
    assert_close(clf.predict_proba(X[:5]), clf.predict_proba(X)[:5])


def test_the_vocabulary_is_that_of_the_sentences_that_are_trained_on(data):
    X, y = data
    X = [*X, "weightless"]
    y = [*y, "yes"]
    weight = np.r_[np.ones(len(data[0])), 0]
    clf = TextCNNClassifier(**SMALL, max_epochs=1).fit(X, y, weight)
    assert "weightless" not in clf.vocabulary_
    clf.fit(*data, X_val=["validating it", "was good"], y_val=["no", "yes"])
    assert "validating" not in clf.vocabulary_
    numbered = [f"{text} n{i}" for i, text in enumerate(data[0])]
    clf.set_params(early_stopping=True, validation_fraction=0.25).fit(numbered, data[1])
    assert sum(word[0] == "n" and word[1:].isdigit() for word in clf.vocabulary_) == 60


def test_what_a_word_is_can_be_chosen(data):
    X, y = data
    clf = TextCNNClassifier(**SMALL, max_epochs=1)
    assert set(clf.fit(X, y).vocabulary_) == {*WORDS, *TOLD}
    assert min(clf.vocabulary_.values()) == 2
    clf.set_params(tokenizer=list, max_features=3, max_length=20).fit(X, y)
    assert all(len(word) == 1 for word in clf.vocabulary_)
    assert len(clf.vocabulary_) == 3
    np.testing.assert_array_equal(
        clf.predict_proba([20 * "a" + "good"]), clf.predict_proba([20 * "a"])
    )


# Features


def test_features_suit_other_models(data):
    X, y = data
    clf = TextCNNClassifier(**SMALL, max_epochs=4)
    pipeline = make_pipeline(clf, LogisticRegression())
    assert pipeline.fit(X, y).score(X, y) == 1
    features = pipeline[0].transform(X)
    assert features.shape == (len(X), 8)
    assert features.dtype == np.float32
    assert features.min() >= 0


def test_features_have_names(fitted, data):
    names = [*(f"2gram_{i}" for i in range(4)), *(f"3gram_{i}" for i in range(4))]
    assert fitted.get_feature_names_out().tolist() == names
    frame = clone(fitted).set_output(transform="pandas").fit_transform(*data)
    assert frame.columns.tolist() == names


@pytest.mark.parametrize("column", ["text", ["text"]])
def test_a_column_of_a_frame_is_a_sequence_of_sentences(data, column):
    X, y = data
    frame = pd.DataFrame({"text": X, "length": [len(text) for text in X]})
    clf = TextCNNClassifier(**SMALL, max_epochs=1)
    columns = ColumnTransformer([("cnn", clf, column)], remainder="passthrough")
    columns.set_output(transform="pandas")
    out = columns.fit_transform(frame, y)
    assert out.shape == (len(X), 9)
    assert out.columns[0] == "cnn__2gram_0"
    np.testing.assert_array_equal(out.iloc[:, :8], clf.fit(X, y).transform(X))


def test_top_ngrams_have_the_largest_features(fitted, data):
    X, _ = data
    features = fitted.transform(X)
    for index, name in enumerate(fitted.get_feature_names_out()):
        ngrams = fitted.top_ngrams(name, n_top=5)
        assert ngrams == fitted.top_ngrams(index, X, n_top=5)
        texts, values = zip(*ngrams, strict=True)
        assert len(set(texts)) == len(ngrams) <= 5
        assert list(values) == sorted(values, reverse=True)
        assert values[-1] > 0
        assert values[0] == pytest.approx(features[:, index].max(), rel=1e-5)
        assert {len(text.split()) for text in texts} == {int(name[0])}


@pytest.mark.parametrize(("n_top", "error"), [(0, ValueError), (2.5, TypeError)])
def test_the_number_of_ngrams_is_a_positive_integer(fitted, n_top, error):
    with pytest.raises(error, match="n_top"):
        fitted.top_ngrams(0, n_top=n_top)


def test_top_ngrams_show_ends_and_unknown_words(fitted):
    names = fitted.get_feature_names_out()
    found = {
        text
        for name in names
        for text, _ in fitted.top_ngrams(name, ["so zzz", ""], n_top=9)
    }
    twos = {"<start> so", "so <unknown>", "<unknown> <end>"}
    threes = {
        "<start> <start> so",
        "<start> so <unknown>",
        "so <unknown> <end>",
        "<unknown> <end> <end>",
    }
    assert found <= twos | threes
    assert found & twos
    assert found & threes


@pytest.mark.parametrize("filter", [8, -1, "4gram_0", 1.0, None])
def test_filters_that_are_not_there_are_refused(fitted, filter):
    with pytest.raises(ValueError, match=r"a number from 0 to 7 or a name from '2gram"):
        fitted.top_ngrams(filter)


# Explanations


@pytest.mark.parametrize("params", [{}, {"filter_sizes": (1, 4)}, {"n_filters": 40}])
def test_contributions_add_up_to_the_scores(data, params):
    X, y = data
    clf = TextCNNClassifier(**{**SMALL, **params}, max_epochs=3).fit(X, y)
    texts = ["", "zzz", "so so good", *X[:20]]
    found = clf.explain(texts)
    scores = [[sum(v for _, v in text[c]) for c in clf.classes_] for text in found]
    log_odds = np.diff(clf.predict_log_proba(texts), axis=1)
    np.testing.assert_allclose(np.diff(scores, axis=1), log_odds, atol=1e-5)
    with torch.inference_mode():
        outputs = clf._compute_outputs(np.array(texts, dtype=object))
    np.testing.assert_allclose(scores, outputs, atol=1e-5)
    for pairs in (pairs for text in found for pairs in text.values()):
        ngrams, values = zip(*pairs, strict=True)
        assert len(set(ngrams)) == len(ngrams)
        assert list(values) == sorted(values, key=abs, reverse=True)


def test_only_the_bias_speaks_for_a_text_without_words(fitted):
    bias = fitted.module_.output.bias.tolist()
    expected = {"no": [("", bias[0])], "yes": [("", bias[1])]}
    assert fitted.explain([""]) == [expected]


def test_the_telling_words_speak_for_their_classes(fitted):
    for_no, for_yes = fitted.explain(["it is a dull film", "it was so good"])
    for text, label, word in ((for_no, "no", "dull"), (for_yes, "yes", "good")):
        other = {"no": "yes", "yes": "no"}[label]
        strongest = max(text[label], key=lambda pair: pair[1])
        against = min(text[other], key=lambda pair: pair[1])
        assert word in strongest[0].split()
        assert word in against[0].split()


def test_top_ngrams_of_a_class(fitted, data):
    for label, word in (("no", "dull"), ("yes", "good")):
        top = fitted.top_ngrams(class_=label, n_top=5)
        assert top == fitted.top_ngrams(X=data[0], class_=label, n_top=5)
        assert all(word in ngram.split() for ngram, _ in top)
        values = [value for _, value in top]
        assert values == sorted(values, reverse=True)
        pairs = [pair for text in fitted.explain(data[0]) for pair in text[label]]
        assert max(v for ngram, v in pairs if ngram) == pytest.approx(values[0])


def test_top_ngrams_of_no_class(fitted):
    with pytest.raises(ValueError, match=r"class_='maybe'.* one of \['no', 'yes'\]"):
        fitted.top_ngrams(class_="maybe")
    with pytest.raises(ValueError, match="expected one of them"):
        fitted.top_ngrams(0, class_="no")


# Training


def test_the_same_random_state_gives_the_same_network(fitted, data):
    again = clone(fitted).fit(*data)
    assert are_equal(again, fitted)
    other = clone(fitted).set_params(random_state=1).fit(*data)
    assert not are_equal(other, fitted)


@pytest.mark.parametrize("mode", ["rand", "multichannel"])
def test_the_number_of_threads_changes_rounding_alone(data, vectors, mode):
    """The network is large enough for several threads."""
    X, y = data
    X = [f"{text} {other}" for text in X for other in X[:3]]
    clf = TextCNNClassifier(
        None if mode == "rand" else {w: np.tile(v, 40) for w, v in vectors.items()},
        mode=mode,
        n_filters=400,
        batch_size=80,
        max_epochs=1,
        random_state=0,
    )
    before = torch.get_num_threads()
    models = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            models.append(clone(clf).fit(X, np.repeat(y, 3)).predict_proba(X))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(*models, atol=1e-3)


class Watching(Callback):
    """Looks at single batches, so that the loop is skorch's."""

    def on_batch_end(self, net, **kwargs):
        pass


def test_skorchs_loop_trains_alike(fitted, data):
    other = clone(fitted).set_params(callbacks=[Watching()]).fit(*data)
    for ours, theirs in zip(state(fitted), state(other), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", torch.optim.Adamax])
def test_other_optimizers_learn_word_vectors_too(data, optimizer):
    clf = TextCNNClassifier(**{**SMALL, "lr": 0.05}, optimizer=optimizer, max_epochs=9)
    assert clf.fit(*data).score(*data) > 0.9


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_other_precisions_learn_alike(data, precision):
    clf = TextCNNClassifier(**SMALL, precision=precision, max_epochs=8).fit(*data)
    assert clf.score(*data) == 1
    dtype = torch.float64 if precision == "float64" else torch.float32
    assert {value.dtype for value in state(clf)} == {dtype}


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_weights_can_be_averaged(data, averaging):
    clf = TextCNNClassifier(**SMALL, weight_averaging=averaging, max_epochs=8)
    assert clf.fit(*data).score(*data) == 1


def test_weights_of_samples_and_classes_count(data):
    X, y = data
    weight = np.where(y == "yes", 1.0, 1e-6)
    clf = TextCNNClassifier(**SMALL, max_epochs=4).fit(X, y, weight)
    assert (clf.predict(X) == "yes").all()
    other = clone(clf).set_params(class_weight={"yes": 1.0, "no": 1e-6}).fit(X, y)
    assert (other.predict(X) == "yes").all()


def test_partial_fit_keeps_the_vocabulary_and_goes_on(data):
    X, y = data
    clf = TextCNNClassifier(**SMALL).partial_fit(X, y, classes=["no", "yes"])
    vocabulary = dict(clf.vocabulary_)
    clf = pickle.loads(pickle.dumps(clf))  # the hooks of steps are no part of it
    for _ in range(8):
        clf.partial_fit([f"{text} new" for text in X], y)
    assert clf.vocabulary_ == vocabulary
    assert clf.n_iter_ == 9
    assert clf.score(X, y) == 1


def test_a_warm_start_keeps_the_vocabulary(data):
    X, y = data
    clf = TextCNNClassifier(**SMALL, max_epochs=1, warm_start=True).fit(X, y)
    vocabulary, before = dict(clf.vocabulary_), state(clf)
    clf.fit([f"{text} new" for text in X], y)
    assert clf.vocabulary_ == vocabulary
    assert clf.n_iter_ == 2
    assert not all(map(torch.equal, before, state(clf)))


def test_early_stopping_goes_back_to_the_best_epoch(data):
    clf = TextCNNClassifier(
        **SMALL,
        lr_schedule=None,
        early_stopping=True,
        n_iter_no_change=5,
        max_epochs=50,
    )
    clf.fit(*data)
    assert clf.n_iter_ < 50
    assert clf.best_validation_score_ == 1


def test_find_lr_suggests_a_rate_at_which_it_learns(data):
    clf = TextCNNClassifier(**SMALL)
    suggestion = clf.find_lr(*data, n_steps=40).suggestion
    assert 1e-4 < suggestion < 0.5
    assert not hasattr(clf, "vocabulary_")


# In company of scikit-learn


def test_pickles_and_clones_predict_the_same(fitted, data):
    X, _ = data
    other = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))
    assert other.top_ngrams(0) == fitted.top_ngrams(0)


def test_clones_share_the_embeddings(vectors):
    clf = TextCNNClassifier(vectors, mode="static", n_filters=7)
    copy = clone(clf)
    assert copy.embeddings is vectors
    assert copy.get_params() == clf.get_params()
    assert clf.embeddings is vectors


@pytest.mark.slow
def test_searches_in_processes_find_what_searches_in_one_do(data):
    search = GridSearchCV(
        TextCNNClassifier(**SMALL, max_epochs=2), {"n_filters": [1, 4]}, cv=2
    )
    alone = search.fit(*data).cv_results_["mean_test_score"]
    parallel = search.set_params(n_jobs=2).fit(*data).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(alone, parallel)


def test_cross_validation_takes_lists_of_sentences(data):
    clf = TextCNNClassifier(**SMALL, max_epochs=8)
    assert cross_val_score(clf, *data, cv=2).min() > 0.9


def test_methods_of_an_unfitted_estimator_say_so(data):
    clf = TextCNNClassifier()
    for use in (clf.predict, clf.transform, partial(clf.top_ngrams, 0)):
        with pytest.raises(ValueError, match="is not fitted yet"):
            use(data[0])
    with pytest.raises(ValueError, match="is not fitted yet"):
        clf.get_feature_names_out()


@pytest.mark.parametrize("sizes", [(), (3, 3), (0, 2), (2.0,), ("3",), (True, 2)])
def test_filter_sizes_are_different_numbers_of_words(data, sizes):
    with pytest.raises(ValueError, match="expected distinct positive integers"):
        TextCNNClassifier(filter_sizes=sizes).fit(*data)


def test_y_is_needed_and_as_long_as_X(data):
    X, y = data
    with pytest.raises(ValueError, match="requires y to be passed"):
        TextCNNClassifier(**SMALL).fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TextCNNClassifier(**SMALL).fit(X, y[:-1])


@pytest.mark.parametrize("cls", [CNNFeatureTransformer, FineTunedClassifier])
def test_it_is_no_backbone_for_images(fitted, cls):
    for backbone in (fitted, clone(fitted), FrozenEstimator(fitted)):
        with pytest.raises(TypeError, match="TextCNNClassifier, which takes sentences"):
            cls(backbone).fit(np.ones((4, 8, 8)), [0, 1, 0, 1])


# Real questions


def read(data_dir, name):
    with gzip.open(data_dir / "text" / f"{name}.tsv.gz", "rt", encoding="utf-8") as f:
        labels, texts = zip(
            *(line.rstrip("\n").split("\t", 1) for line in f), strict=True
        )
    return texts, labels


@pytest.mark.slow
def test_questions_are_classified_as_well_as_in_the_paper(data_dir):
    """Kim's CNN-rand has an accuracy of 0.912 on the 500 questions."""
    clf = TextCNNClassifier(random_state=0).fit(*read(data_dir, "trec.train"))
    assert clf.score(*read(data_dir, "trec.test")) >= 0.895


def test_a_tokenizer_needs_no_pattern_and_one_of_them_is_needed():
    X, y = ["a b", "c d"] * 3, [0, 1] * 3
    clf = TextCNNClassifier(tokenizer=str.split, token_pattern=None, max_epochs=1)
    assert set(clf.fit(X, y).vocabulary_) == set("abcd")
    with pytest.raises(ValueError, match="Pass one of"):
        clf.set_params(tokenizer=None).fit(X, y)


def test_other_embeddings_are_not_learnt_from_later(rng):
    texts, y = ["good film", "bad film"] * 6, [1, 0] * 6
    vectors = {word: rng.random(5) for word in ("good", "bad", "film")}
    model = TextCNNClassifier(
        vectors, mode="static", warm_start=True, max_epochs=1, n_filters=2
    ).fit(texts, y)
    for other in (dict(vectors), "no such file", None):
        model.set_params(embeddings=other)
        for train in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=r"embeddings is .* was built with"):
                train(texts, y)
    pickle.loads(pickle.dumps(model.set_params(embeddings=vectors))).fit(texts, y)


def test_an_interrupted_fit_leaves_the_sentences_of_the_last_one():
    texts, y = ["good film", "bad film"] * 6, [1, 0] * 6
    model = TextCNNClassifier(warm_start=True, max_epochs=1, n_filters=2)
    model.fit(texts, y)
    before = model.top_ngrams(0)

    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[Interrupt()]).fit(["film film good"] * 12, y)
    assert model.top_ngrams(0) == before


def test_a_tokenizer_may_return_a_generator():
    texts, y = ["good film", "bad film"] * 6, [1, 0] * 6
    parameters = {"max_epochs": 1, "n_filters": 2, "random_state": 0}
    lazy = TextCNNClassifier(tokenizer=lambda text: iter(text.split()), **parameters)
    eager = TextCNNClassifier(tokenizer=str.split, **parameters)
    np.testing.assert_array_equal(
        lazy.fit(texts, y).predict_proba(texts),
        eager.fit(texts, y).predict_proba(texts),
    )
