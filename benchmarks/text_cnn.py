"""Accuracy and speed of TextCNNClassifier on the data of its paper.

    python benchmarks/text_cnn.py [DATA] [--sets trec sst2 ...] [--seeds 3] [--jobs 4]
    python benchmarks/text_cnn.py [DATA] --speed [--threads 1] [--repeats 5]

A row is the accuracy on unseen sentences, mean and standard deviation over seeds,
with the CPU seconds of a fit, beside the result of Kim (2014, table 2). DATA is the
folder with ``text``, by default the folder that SKCNN_DATA names or shared/data beside
the repository.

- All settings of the networks are defaults; none was chosen on test sentences. If a set
  has development sentences (SST), the best epoch on these is used, as in the paper.
- Test sentences are those of the paper; for MR, the seed determines the folds of a
  10-fold cross-validation.
- SST is trained on sentences. The paper also trains on their phrases: CNN-rand is
  worse than in the paper only on these sets, not on MR and TREC with equal data.
- static, non-static and multichannel have vectors that are computed here from the
  training sentences (components of their co-occurrences). The paper has vectors of
  a hundred billion words; its results are in brackets.
- C and the n-grams of the linear models are searched by cross-validation on the
  training sentences.
"""

import argparse
import gzip
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from _timing import (
    data_folder,
    describe_load,
    describe_machine,
    interleave,
    median_ratio,
)
from joblib import Parallel, delayed, parallel_config
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.extmath import randomized_svd
from torch import nn
from torch.nn import functional as F

from skcnn import TextCNNClassifier

TITLES = {
    "trec": "TREC, 5,452 questions to train on, 500 to test, 6 classes",
    "sst2": "SST-2, 6,920 sentences to train on, 1,821 to test, 2 classes",
    "sst1": "SST-1, 8,544 sentences to train on, 2,210 to test, 5 classes",
    "mr": "MR, 10,662 sentences in 10-fold cross-validation, 2 classes",
}
PAPER = {  # accuracies in per cent
    "rand": {"mr": 76.1, "sst1": 45.0, "sst2": 82.7, "trec": 91.2},
    "static": {"mr": 81.0, "sst1": 45.5, "sst2": 86.8, "trec": 92.8},
    "non-static": {"mr": 81.5, "sst1": 48.0, "sst2": 87.2, "trec": 93.6},
    "multichannel": {"mr": 81.1, "sst1": 47.4, "sst2": 88.1, "trec": 92.2},
}
N_FOLDS = 10
WINDOW = 5  # words to each side that count as co-occurrences
VECTOR_SCALE = 0.25 / 3**0.5  # standard deviation of the random vectors
SPLIT = {"tokenizer": str.split}  # the sentences are tokenised already


class Part(NamedTuple):
    """Sentences to train on, for development where there are any, and to test."""

    X: list
    y: np.ndarray
    X_test: list
    y_test: np.ndarray
    X_dev: list | None = None
    y_dev: np.ndarray | None = None


def read(folder, name):
    """Return the sentences of a file and their labels."""
    with gzip.open(folder / "text" / f"{name}.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return [text for _, text in rows], np.array([label for label, _ in rows])


def make_parts(folder, name, seed):
    """Return the part of a set, or one for each fold."""
    if name != "mr":
        dev = read(folder, f"{name}.dev") if name != "trec" else ()
        return [
            Part(*read(folder, f"{name}.train"), *read(folder, f"{name}.test"), *dev)
        ]
    X, y = read(folder, "mr.all")
    X = np.array(X, dtype=object)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    return [
        Part(X[train].tolist(), y[train], X[test].tolist(), y[test])
        for train, test in folds.split(X, y)
    ]


def word_vectors(texts, n_values=300):
    """Return vectors of words: components of their positive mutual information.

    As Levy, Goldberg & Dagan (2015) have it, with square roots of singular values,
    and of one length, which is better for TREC in a part of its training set.
    """
    counter = CountVectorizer(**SPLIT, token_pattern=None).fit(texts)
    counts = co_occurrences(texts, counter)
    sums = counts.sum(1)
    counts.data *= sums.sum() / (sums[counts.row] * sums[counts.col])
    counts.data = np.log(counts.data).clip(0)
    left, values, _ = randomized_svd(counts.tocsr(), n_values, random_state=0)
    vectors = left * np.sqrt(values)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    vectors *= VECTOR_SCALE * n_values**0.5
    return dict(zip(counter.get_feature_names_out(), vectors, strict=True))


def co_occurrences(texts, counter):
    """Return how often words stand near each other, by 1 / distance."""
    analyze, codes = counter.build_analyzer(), counter.vocabulary_
    sentences = [[codes[word] for word in analyze(text)] for text in texts]
    gap = [-1] * WINDOW  # so that no window reaches over two sentences
    words = np.array([code for codes in sentences for code in codes + gap])
    counts = sparse.csr_array((len(codes), len(codes)))
    for distance in range(1, WINDOW + 1):
        first, second = words[:-distance], words[distance:]
        pairs = (first >= 0) & (second >= 0)
        weights = np.full(pairs.sum(), 1 / distance)
        indices = first[pairs], second[pairs]
        counts = counts + sparse.csr_array((weights, indices), counts.shape)
    return (counts + counts.T).tocoo()


def fit_network(mode, part, seed):
    """Train a network in one of the modes of the paper."""
    embeddings = None if mode == "rand" else word_vectors(part.X)
    has_dev = part.X_dev is not None
    network = TextCNNClassifier(
        embeddings, mode=mode, **SPLIT, early_stopping=has_dev, random_state=seed
    )
    dev = {"X_val": part.X_dev, "y_val": part.y_dev} if has_dev else {}
    return network.fit(part.X, part.y, **dev)


def fit_linear(model, strengths, part, seed):
    """Search a linear model on tf-idf."""
    tfidf = TfidfVectorizer(**SPLIT, token_pattern=None, sublinear_tf=True)
    grid = {
        "tfidfvectorizer__ngram_range": [(1, 1), (1, 2)],
        f"{type(model).__name__.lower()}__C": strengths,
    }
    return GridSearchCV(make_pipeline(tfidf, model), grid).fit(part.X, part.y)


LINEAR = {
    "tf-idf + LinearSVC": partial(
        fit_linear, LinearSVC(random_state=0), [0.03, 0.1, 0.3, 1, 3]
    ),
    "tf-idf + logistic regression": partial(
        fit_linear, LogisticRegression(max_iter=1000), [0.3, 1, 3, 10, 30, 100]
    ),
}
NETWORKS = {f"CNN-{mode}": partial(fit_network, mode) for mode in PAPER}


def measure(fit, part, seed):
    """Return the accuracy on the test sentences and the CPU seconds of the fit."""
    torch.set_num_threads(1)
    start = process_time()
    model = fit(part, seed)
    seconds = process_time() - start
    return model.score(part.X_test, part.y_test), seconds


def compare(folder, name, models, n_seeds, jobs):
    """Print the table of a set."""
    print(f"\n{TITLES[name]}\n{'':30} accuracy        paper   CPU s of a fit")
    parts = [make_parts(folder, name, seed) for seed in range(n_seeds)]
    # Linear models depend on the seed by the folds of the cross-validation alone.
    runs = {m: parts if m in NETWORKS or name == "mr" else parts[:1] for m in models}
    tasks = (
        delayed(measure)(models[model], part, seed)
        for model, seeds in runs.items()
        for seed, parts in enumerate(seeds)
        for part in parts
    )
    with parallel_config("loky", inner_max_num_threads=1):
        results = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    for model, seeds in runs.items():
        report(name, model, [[next(results) for _ in parts] for parts in seeds])


def report(name, model, runs):
    """Print a row: of each seed, the accuracies and seconds of its parts."""
    scores = [100 * mean(score for score, _ in run) for run in runs]
    seconds = mean(seconds for run in runs for _, seconds in run)
    spread = f"± {stdev(scores):.2f}" if len(scores) > 1 else ""
    paper = PAPER.get(model.removeprefix("CNN-"), {}).get(name, "")
    paper = f"({paper})" if paper and model != "CNN-rand" else f"{paper} "
    print(
        f"{model:30} {mean(scores):.2f} {spread:8} {paper:>7} {seconds:12.0f}",
        flush=True,
    )


class UsersNet(nn.Module):
    """The network as one writes it down."""

    def __init__(self, n_words, n_classes, sizes=(3, 4, 5), n_filters=100, dim=300):
        super().__init__()
        self.vectors = nn.Embedding(n_words, dim, padding_idx=0)
        self.filters = nn.ModuleList(nn.Conv1d(dim, n_filters, s) for s in sizes)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(n_filters * len(sizes), n_classes)

    def forward(self, codes):
        vectors = self.vectors(codes).transpose(1, 2)
        pooled = [F.relu(layer(vectors)).amax(2) for layer in self.filters]
        return self.output(self.dropout(torch.cat(pooled, 1)))


def fit_plain(X, y, epochs):
    """Train the network in a plain loop, sentences padded to the longest of all."""
    torch.manual_seed(0)
    words = sorted({word for text in X for word in text.lower().split()})
    code = {word: number for number, word in enumerate(words, 1)}
    sentences = [torch.tensor([code[w] for w in text.lower().split()]) for text in X]
    codes = nn.utils.rnn.pad_sequence(sentences, batch_first=True)
    classes, labels = np.unique(y, return_inverse=True)
    labels = torch.from_numpy(labels)
    module = UsersNet(len(words) + 1, len(classes))
    optimizer = torch.optim.Adam(module.parameters())
    for _ in range(epochs):
        for index in torch.randperm(len(X)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(module(codes[index]), labels[index]).backward()
            with torch.no_grad():
                module.output.weight.renorm_(2, 0, 3)
            optimizer.step()


def fit_skcnn(X, y, epochs):
    """Train TextCNNClassifier with the same network and batches."""
    TextCNNClassifier(
        **SPLIT,
        optimizer="adam",
        lr=0.001,
        lr_schedule=None,
        weight_decay=0.0,
        batch_size=50,
        max_epochs=epochs,
        random_state=0,
    ).fit(X, y)


def compare_speed(folder, names, repeats, epochs=1):
    """Print sentences per second of training."""
    ways = {"plain loop": fit_plain, "skcnn": fit_skcnn}
    for name in names:
        X, y = read(folder, "mr.all" if name == "mr" else f"{name}.train")
        seconds = interleave(
            {way: partial(fit, X, y, epochs) for way, fit in ways.items()}, repeats
        )
        for way in ways:
            print(
                f"{name:5} {way:11} {epochs * len(X) / median(seconds[way]):7.0f} "
                f"sentences/s   time / plain loop "
                f"{median_ratio(seconds[way], seconds['plain loop']):.3f}",
                flush=True,
            )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(TITLES), choices=TITLES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--only", nargs="+", help="parts of names of models")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="for --speed")
    parser.add_argument("--repeats", type=int, default=5, help="for --speed")
    args = parser.parse_args()
    folder = args.data or data_folder()
    torch.set_num_threads(args.threads)
    describe_machine()
    if args.speed:
        compare_speed(folder, args.sets, args.repeats)
        return
    models = {
        name: fit
        for name, fit in (LINEAR | NETWORKS).items()
        if not args.only or any(part in name for part in args.only)
    }
    for name in args.sets:
        compare(folder, name, models, args.seeds, args.jobs)
    describe_load()


if __name__ == "__main__":
    main()
