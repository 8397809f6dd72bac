"""Prediction time of one image, by the estimator and by onnxruntime.

    python benchmarks/serving.py

The script prints the median and 99th percentile of `predict_proba` for one image, alone
and while other threads predict; whether 16 threads get the same result as one; and
images per second of the estimator and of onnxruntime, with 1 and 2 threads.
"""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import onnxruntime
import torch
from _timing import describe_machine
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skcnn import CNNClassifier, CNNFeatureTransformer, to_onnx

N_CALLS, N_THREADS, N_IMAGES = 200, 16, 1000


def main():
    """Print all figures."""
    describe_machine()
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8).astype(np.float32)
    clf = CNNClassifier(max_epochs=3, random_state=0).fit(X, y)
    rng = np.random.default_rng(0)
    jpegs = [encoded(rng.integers(0, 256, (300, 400, 3))) for _ in range(8)]
    pipeline = make_pipeline(CNNFeatureTransformer(), LogisticRegression())
    pipeline.fit(jpegs, [0, 1] * 4)
    torch.set_num_threads(1)
    for name, model, sample in (
        ("CNNClassifier, 8 x 8", clf, X[:1]),
        ("JPEG, default backbone + logistic regression", pipeline, jpegs[:1]),
    ):
        n_calls = N_CALLS if model is clf else N_CALLS // 4
        print(f"{name}: alone {latency(model, sample, n_calls)}")
        print(f"{name}: busy {busy_latency(model, sample, n_calls)}")
        print(f"{name}: 16 threads equal one: {threads_agree(model, sample)}")
    compare_with_onnxruntime(clf, X)


def encoded(pixels):
    """Return pixels as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def latency(model, sample, n_calls):
    """Return the median and the 99th percentile of a prediction."""
    model.predict_proba(sample)
    seconds = []
    for _ in range(n_calls):
        start = time.perf_counter()
        model.predict_proba(sample)
        seconds.append(time.perf_counter() - start)
    middle, high = 1000 * np.percentile(seconds, [50, 99])
    return f"median {middle:.2f} ms, 99th percentile {high:.2f} ms"


def busy_latency(model, sample, n_calls):
    """Return the same while two other threads predict."""
    done = []

    def predict_until_done():
        while not done:
            model.predict_proba(sample)

    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(predict_until_done)
        try:
            return latency(model, sample, n_calls)
        finally:
            done.append(True)


def threads_agree(model, sample):
    """Return whether threads at once get the bits of one."""
    expected = model.predict_proba(sample)
    with ThreadPoolExecutor(N_THREADS) as threads:
        results = threads.map(lambda _: model.predict_proba(sample), range(N_THREADS))
        return all(np.array_equal(result, expected) for result in results)


def compare_with_onnxruntime(clf, X):
    """Print the size, the time to load and images per second."""
    model = to_onnx(clf, X=X[:100]).SerializeToString()
    print(f"ONNX: {len(model):,} bytes")
    X = X[:N_IMAGES]
    for n_threads in (1, 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        start = time.perf_counter()
        session = onnxruntime.InferenceSession(model, options)
        loading = time.perf_counter() - start
        torch.set_num_threads(n_threads)
        theirs = rate(partial(session.run, None, {"X": X}), len(X))
        ours = rate(partial(clf.predict_proba, X), len(X))
        print(
            f"{n_threads} threads: onnxruntime {theirs:,.0f} images/s (loaded in "
            f"{1000 * loading:.0f} ms), skcnn {ours:,.0f} images/s"
        )


def rate(predict, n_images, n_calls=15):
    """Return images per second, by the median of some calls."""
    predict()
    seconds = []
    for _ in range(n_calls):
        start = time.perf_counter()
        predict()
        seconds.append(time.perf_counter() - start)
    return n_images / np.median(seconds)


if __name__ == "__main__":
    main()
