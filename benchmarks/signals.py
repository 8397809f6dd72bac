"""CNNs on signals, compared with nearest neighbours and a linear model.

    python benchmarks/signals.py [--threads 4] [--seeds 5] [--steps 600]
        [--only ArrowHead ...]

1. Four sets of the UCR and UEA archives, on their own split: ArrowHead and
   ItalyPowerDemand (one channel), BasicMotions (6 channels) and JapaneseVowels (12
   channels of unequal lengths, padded with zeros to the 26 steps of the longest
   training signal; one test signal is longer and is cut).
2. Spoken digits: 300 recordings to train on, 300 of the same six speakers to test, as
   waveforms, as images of their log-mel spectra, and as series of 40 channels.

Each network is trained for 600 steps of 8 samples, a number that was fixed
beforehand, or for ``--steps``; the published networks were trained for 2,000 epochs.
Other hyper-parameters are defaults unless the row says otherwise.

Published accuracies are means of 10 runs of the fully convolutional network
(Ismail Fawaz et al., "Deep learning for time series classification: a review", 2019,
arXiv 1809.04356, with the results in the repository hfawaz/dl-4-tsc). Nearest
neighbours see raw values, the linear model standardised ones. Seconds are CPU time of a
fit and of the predictions for the test set, the mean over seeds.

The data are in the folder that SKCNN_DATA names, or in shared/data beside the
repository.
"""

import argparse
import gzip
import io
import zipfile
from dataclasses import dataclass, field
from statistics import mean, stdev
from time import process_time

import numpy as np
import torch
from _timing import data_folder, describe_machine
from scipy.io import wavfile
from scipy.signal import stft
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcnn import CNNClassifier
from skcnn.data import pad_signals

BATCH_SIZE = 8
PUBLISHED = {
    "ArrowHead": "0.843 ± 0.015",
    "ItalyPowerDemand": "0.961 ± 0.003",
    "JapaneseVowels": "0.993 ± 0.002",
}
SAMPLE_RATE = 8000  # Hz, of the recordings
LENGTH = 8192  # samples, about a second
WINDOW, HOP, N_MELS = 256, 128, 40  # 32 ms, 16 ms, bands
# Of waveforms: five blocks that shrink 8192 samples to 8 positions.
WAVE_NETWORK = {"n_layers": 5, "n_filters": 16, "kernel_size": 9, "pool_size": 4}


@dataclass
class Task:
    """A training and a test set, and the networks that are tried."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    networks: dict = field(
        default_factory=lambda: {"convnet": {}, "fcn": {"architecture": "fcn"}}
    )


def read_ts(path):
    """Return signals, (n_channels, length) each, and labels of a .ts.gz file."""
    with gzip.open(path, "rt") as file:
        lines = file.read().partition("@data\n")[2].splitlines()
    rows = [line.split(":") for line in lines]
    X = [np.array([c.split(",") for c in row[:-1]], dtype=np.float32) for row in rows]
    return X, np.array([row[-1] for row in rows])


def read_archive(folder, name):
    """Return a task of the archives, its signals padded."""
    path = folder / "series" / "ucr" / name
    X, y = read_ts(f"{path}_TRAIN.ts.gz")
    X_test, y_test = read_ts(f"{path}_TEST.ts.gz")
    X = pad_signals(X)
    return Task(name, X, y, pad_signals(X_test, X.shape[2], truncate=True), y_test)


def read_recordings(folder, part):
    """Return waveforms of -1 to 1 of equal length, and the digits that were spoken."""
    X, y = [], []
    with zipfile.ZipFile(folder / "series/spoken_digits/fsdd_600.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(f"{part}/") and name.endswith(".wav"):
                _, wave = wavfile.read(io.BytesIO(archive.read(name)))
                X.append(np.float32(wave / np.abs(wave).max()))
                y.append(int(name.split("/")[1][0]))
    return pad_signals(X, LENGTH, truncate=True), np.array(y)


def mel_filters():
    """Return triangular filters, evenly spaced in mel, (N_MELS, n_frequencies)."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, N_MELS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    low, centre, high = (edges[i : i + N_MELS, None] for i in range(3))
    rise = (frequencies - low) / (centre - low)
    fall = (high - frequencies) / (high - centre)
    return np.clip(np.minimum(rise, fall), 0, None)


def log_mel(waves):
    """Return the log-mel spectra of waveforms, (n, N_MELS, n_frames)."""
    spectra = stft(waves[:, 0], nperseg=WINDOW, noverlap=WINDOW - HOP)[2]
    power = np.einsum("mf,nft->nmt", mel_filters(), np.abs(spectra) ** 2)
    return np.log(power + 1e-8).astype(np.float32)


def read_spoken_digits(folder):
    """Return two tasks: waveforms, and spectra as images and as series."""
    (X, y), (X_test, y_test) = (read_recordings(folder, p) for p in ("train", "test"))
    noisy = {"augmentation": ["shift", "scaling", "jitter"]}
    wave = {"5 blocks": WAVE_NETWORK, "5 blocks, augmented": WAVE_NETWORK | noisy}
    spectral = {
        "convnet, images": {"channel_axis": None},
        "fcn, series": {"architecture": "fcn"},
    }
    return [
        Task("spoken digits, waveforms", X, y, X_test, y_test, wave),
        Task(
            "spoken digits, spectra", log_mel(X), y, log_mel(X_test), y_test, spectral
        ),
    ]


def evaluate(make_model, task, n_seeds):
    """Return accuracies on the test set, and seconds, of one fit for each seed."""
    scores, seconds = [], []
    for seed in range(n_seeds):
        start = process_time()
        model = make_model(seed).fit(task.X, task.y)
        scores.append(model.score(task.X_test, task.y_test))
        seconds.append(process_time() - start)
    return scores, mean(seconds)


def report(name, scores, seconds, published=""):
    """Print a row of the table."""
    spread = f"± {stdev(scores):.3f}" if len(scores) > 1 else ""
    print(
        f"    {name:24} {mean(scores):.3f} {spread:8} {seconds:7.1f} s   {published}",
        flush=True,
    )


def compare(task, n_seeds, n_steps):
    """Print accuracies of the networks and of their peers."""
    n, n_test = len(task.X), len(task.X_test)
    shape = " x ".join(map(str, task.X.shape[1:]))
    print(f"{task.name}: {n} to train on, {n_test} to test, {shape}", flush=True)
    epochs = -(-n_steps * BATCH_SIZE // n)
    for name, parameters in task.networks.items():

        def make_network(seed, parameters=parameters):
            return CNNClassifier(
                **{"channel_axis": 1} | parameters,
                max_epochs=epochs,
                batch_size=BATCH_SIZE,
                random_state=seed,
            )

        published = PUBLISHED.get(task.name, "") if name == "fcn" else ""
        report(name, *evaluate(make_network, task, n_seeds), published)
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    for name, steps in {
        "1-NN, Euclidean": [KNeighborsClassifier(1)],
        "logistic regression": [StandardScaler(), LogisticRegression(max_iter=5000)],
    }.items():
        pipeline = make_pipeline(flatten, *steps)
        report(name, *evaluate(lambda _, pipeline=pipeline: pipeline, task, 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", nargs="*", help="beginnings of the names of sets")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = data_folder()
    describe_machine()
    print("    model                    accuracy            time   published")
    names = ["ArrowHead", "ItalyPowerDemand", "BasicMotions", "JapaneseVowels"]
    tasks = [read_archive(folder, name) for name in names]
    for task in [*tasks, *read_spoken_digits(folder)]:
        if not arguments.only or task.name.startswith(tuple(arguments.only)):
            compare(task, arguments.seeds, arguments.steps)
