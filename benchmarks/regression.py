"""CNNRegressor compared with a linear model.

    python benchmarks/regression.py [--threads 4] [--seeds 5]

1. The angle of rotated digits: scikit-learn's digits, enlarged to 16 x 16 and
   rotated by -45 to 45 degrees; other digits are rotated to test.
2. The delay of an echo: a chirp of 64 steps somewhere in 256 steps of noise.

CNNRegressor has default parameters; the alpha of Ridge is chosen by cross-validation.
Seconds are CPU time of a fit and of the predictions.
"""

import argparse
from statistics import mean, stdev
from time import process_time

import numpy as np
import torch
from _timing import describe_machine
from scipy.ndimage import rotate, zoom
from scipy.signal import chirp
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNRegressor

MAX_ANGLE = 45.0  # degrees
N_SIGNALS, N_STEPS, CHIRP_STEPS = 2000, 256, 64
NOISE = 0.5  # standard deviation, where the chirp has an amplitude of 1


def rotate_digits(rng):
    """Return digits and the angles by which they are rotated, in degrees."""
    images = zoom(load_digits().images, (1, 2, 2), order=1)
    angles = rng.uniform(-MAX_ANGLE, MAX_ANGLE, size=len(images))
    pairs = zip(images, angles, strict=True)
    X = [rotate(image, angle, reshape=False, order=1) for image, angle in pairs]
    return np.stack(X).astype(np.float32), angles


def delay_chirps(rng):
    """Return noisy signals and the steps at which their chirps begin."""
    echo = chirp(np.arange(CHIRP_STEPS), f0=0.02, f1=0.2, t1=CHIRP_STEPS)
    echo *= np.hanning(CHIRP_STEPS)
    delays = rng.integers(0, N_STEPS - CHIRP_STEPS, size=N_SIGNALS)
    X = rng.normal(scale=NOISE, size=(N_SIGNALS, N_STEPS))
    for signal, delay in zip(X, delays, strict=True):
        signal[delay : delay + CHIRP_STEPS] += echo
    return X.astype(np.float32), delays.astype(float)


def make_linear(seed):
    """Return a ridge regression that chooses its alpha."""
    return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 6, 17)))


def evaluate(make_model, parts, flatten):
    """Return R², the mean absolute error and the seconds of a fit."""
    X, X_test, y, y_test = parts
    if flatten:
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    start = process_time()
    predicted = make_model().fit(X, y).predict(X_test)
    seconds = process_time() - start
    return r2_score(y_test, predicted), mean_absolute_error(y_test, predicted), seconds


def compare(name, unit, make_data, n_seeds):
    """Print figures of the network and of the linear model."""
    results = {"CNNRegressor": [], "ridge regression": []}
    for seed in range(n_seeds):
        X, y = make_data(np.random.default_rng(seed))
        parts = train_test_split(X, y, test_size=0.3, random_state=seed)
        for model, make_model in {
            "CNNRegressor": lambda seed=seed: CNNRegressor(random_state=seed),
            "ridge regression": lambda seed=seed: make_linear(seed),
        }.items():
            flatten = model == "ridge regression"
            results[model].append(evaluate(make_model, parts, flatten))
    print(f"{name}, {len(parts[0])} to train on, {len(parts[1])} to test")
    for model, rows in results.items():
        r2, error, seconds = zip(*rows, strict=True)
        print(
            f"    {model:18} {mean(r2):6.3f} ± {stdev(r2):.3f}   "
            f"{mean(error):6.2f} ± {stdev(error):.2f} {unit}   {mean(seconds):6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    describe_machine()
    print("    model                R²               mean absolute error    time")
    compare("angle of rotated digits", "degrees", rotate_digits, arguments.seeds)
    compare("delay of noisy chirps", "steps", delay_chirps, arguments.seeds)
