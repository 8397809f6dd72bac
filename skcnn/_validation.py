"""Validation data of a fit: given, or held out of the training data."""

from contextlib import contextmanager

import numpy as np
from sklearn.model_selection import train_test_split

from .training import Validation


class ValidationMixin:
    """Early stopping's share of a :class:`BaseCNN`."""

    @property
    def validation_scores_(self):
        """Score of the validation data after each epoch, None without any."""
        rows = self.history_
        scores = [row["valid_score"] for row in rows if "valid_score" in row]
        return scores or None

    @property
    def best_validation_score_(self):
        """Largest of `validation_scores_`, None without any."""
        scores = self.validation_scores_
        return max(scores) if scores else None

    def _refuse_early_stopping(self):
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _hold_out(self, samples, X_val=None, y_val=None, sample_weight_val=None):
        """Return samples to train on and samples to validate on, or None."""
        if X_val is not None or y_val is not None or sample_weight_val is not None:
            return samples, self._check_given(X_val, y_val, sample_weight_val)
        if not self.early_stopping:
            return samples, None
        train, test = self._split(samples)
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or "
                "the size of your dataset."
            )
        return samples.take(train), samples.take(test)

    def _split(self, samples):
        """Return sorted positions, those of a warm start the same as before."""
        if self._validation_seed is None:
            self._validation_seed = self._next_seed()
        try:
            parts = train_test_split(
                np.arange(len(samples)),
                test_size=self.validation_fraction,
                random_state=self._validation_seed,
                stratify=self._strata(samples.targets),
            )
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} cannot be held out of "
                f"{len(samples)} samples: {error} Change validation_fraction, or pass "
                "X_val and y_val."
            ) from error
        return map(np.sort, parts)

    def _check_given(self, X_val, y_val, sample_weight_val):
        """Return the validation data that `fit` was given."""
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(
                f"{missing} is missing: validation data are X_val and y_val, and "
                "sample_weight_val where the samples have weights."
            )
        with _named_validation_data():
            held_out, _ = self._check_samples(X_val, y_val, sample_weight_val, False)
        if len(held_out) < 2:
            raise ValueError(
                f"X_val holds {len(held_out)} sample(s) that weigh something, a score "
                "needs at least 2."
            )
        return held_out

    def _validation(self, dataset, samples, held_out):
        """Return what validates a network epoch by epoch, or None."""
        if held_out is None:
            return None
        images = dataset.images
        if held_out.X is not samples.X:
            images = self._training_images(held_out.X, images.device)
        dataset = self._training_set(images, held_out)
        criterion = self._criterion(reduction="none")
        return Validation(dataset, criterion, self._score_outputs)


@contextmanager
def _named_validation_data():
    """Say in errors that it is X_val and y_val which are wrong."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"In the validation data, X_val and y_val: {error}") from error


def compose(first, second):
    """Return the rows that are left by two selections, None where all are left."""
    if first is None or second is None:
        return second if first is None else first
    return first[second]
