"""Validation data of a fit: given, or held out of the training data."""

from contextlib import contextmanager

import numpy as np
from sklearn.model_selection import train_test_split

from .checked_samples import check_validation_samples


def split_samples(estimator, samples, X_val=None, y_val=None, sample_weight_val=None):
    """Return training samples, and validation samples or None."""
    given = X_val, y_val, sample_weight_val
    if any(part is not None for part in given):
        return samples, _check_given(estimator, *given)
    if not estimator.early_stopping:
        return samples, None
    train, test = _split(estimator, samples)
    if len(test) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or "
            "the size of your dataset."
        )
    return samples.take(train), samples.take(test)


def _split(estimator, samples):
    """Return sorted indices of both parts; a warm start repeats the split."""
    if estimator._validation_seed is None:
        estimator._validation_seed = estimator._next_seed()
    try:
        parts = train_test_split(
            np.arange(len(samples)),
            test_size=estimator.validation_fraction,
            random_state=estimator._validation_seed,
            stratify=estimator._targets.strata(samples.targets),
        )
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} cannot be held out "
            f"of {len(samples)} samples: {error} Change validation_fraction, or pass "
            "X_val and y_val."
        ) from error
    return map(np.sort, parts)


def _check_given(estimator, X_val, y_val, sample_weight_val):
    """Validate the validation data that were passed to `fit`."""
    if X_val is None or y_val is None:
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(
            f"{missing} is missing. Pass both X_val and y_val as validation data."
        )
    with _named_validation_data():
        samples = check_validation_samples(estimator, X_val, y_val, sample_weight_val)
    if len(samples) < 2:
        raise ValueError(
            f"X_val has {len(samples)} sample(s) with a weight above 0, but a score "
            "needs at least 2."
        )
    return samples


@contextmanager
def _named_validation_data():
    """Add to errors that they are about the validation data."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"In the validation data, X_val and y_val: {error}") from error
