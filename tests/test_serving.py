"""The service of examples/serve answers real requests, several at a time."""

import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skcnn import CNNClassifier, CNNFeatureTransformer

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "serve"
PATIENCE = 300


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def served(tmp_path, rng):
    """Images, the pipeline, and the address of a process that serves it."""
    images = [
        encoded(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(16)
    ]
    transformer = CNNFeatureTransformer(image_size=32)
    model = make_pipeline(transformer, LogisticRegression()).fit(images, [0, 1] * 8)
    joblib.dump(model, tmp_path / "model.joblib")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    environment = os.environ | {"MODEL": str(tmp_path / "model.joblib")}
    process = subprocess.Popen(command, cwd=FOLDER, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process)
        yield images, model, address
    finally:
        process.terminate()
        process.wait()


def wait_for(address, process):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{address}/docs", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"The service does not answer; exit code {process.poll()}.")


@pytest.mark.slow
def test_requests_at_once_get_the_answers_of_predict_proba(served):
    images, model, address = served

    def ask(image):
        return httpx.post(
            f"{address}/predict", content=image, timeout=PATIENCE, trust_env=False
        )

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, images))
    rows = [list(answer.json().values()) for answer in answers]
    expected = [model.predict_proba([image])[0] for image in images]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert list(answers[0].json()) == ["0", "1"]
    refused = ask(b"no image")
    assert refused.status_code == 422
    assert "image" in refused.json()["detail"]


def test_16_threads_at_once_predict_what_one_does(rng):
    X = rng.integers(0, 256, (32, 8, 8), dtype=np.uint8)
    clf = CNNClassifier(n_layers=1, n_filters=4, max_epochs=1, random_state=0)
    clf.fit(X, np.arange(32) % 2)
    expected = [clf.predict_proba(X[i : i + 1]) for i in range(32)]
    with ThreadPoolExecutor(16) as threads:
        rows = threads.map(lambda i: clf.predict_proba(X[i : i + 1]), range(32))
        np.testing.assert_array_equal(list(rows), expected)
