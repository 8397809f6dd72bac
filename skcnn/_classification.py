"""What a network that predicts labels does with y and with its outputs."""

import numpy as np
import torch
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
)


class ClassificationMixin(ClassifierMixin):
    """Targets, loss and predictions of classifiers, for a :class:`BaseCNN`."""

    _criterion = torch.nn.CrossEntropyLoss
    _y_checks = {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train the network.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images, signals, volumes or sentences, see the class.

        y : array-like of shape (n_samples,)
            Labels, of any kind that scikit-learn takes.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None weighs all samples alike.

        X_val : array-like or torch.Tensor of shape (n_val, ...), default=None
            Validation data: after each epoch, their loss and score are recorded
            in `history_` and `validation_scores_`, and `early_stopping` goes by
            them. Samples have the shape of those of X. A pipeline transforms
            them as it does X with ``Pipeline(..., transform_input=["X_val"])``.

        y_val : array-like of shape (n_val,), default=None
            Labels, all among those of y, of the validation data.

        sample_weight_val : array-like of shape (n_val,), default=None
            Non-negative weights in the loss and the score of the validation data.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y cannot be read, the shape of X does not suit the
            architecture, the device is not there, or the loss diverges; if
            validation data do not suit X and y, or too few samples are there
            to hold some out.

        MemoryError
            If a batch does not fit in memory.
        """
        first = self._start_afresh(keep=self.warm_start)
        return self._fit(
            X,
            y,
            sample_weight,
            epochs=self.max_epochs,
            first=first,
            X_val=X_val,
            y_val=y_val,
            sample_weight_val=sample_weight_val,
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more pass over X, at the constant learning rate `lr`.

        An LRScheduler among the callbacks goes on from where it was, as in skorch.

        The scale of the pixels, or the vocabulary, is that of the first call, and so
        are `optimizer`, `weight_decay`, `label_smoothing` and `callbacks`. A call
        that fails or is interrupted leaves the network as it was.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images, signals, volumes or sentences, see the class.

        y : array-like of shape (n_samples,)
            Labels.

        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will ever come. Needed in the first call only.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. 1 is that of a sample without.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            As `fit`, if `classes` is missing in the first call or differs from it
            later, and if `class_weight` is "balanced".
        """
        self._refuse_early_stopping()
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not for partial_fit, which never sees all "
                "labels at once. Pass the weights of the classes as a dict, such as "
                "sklearn.utils.compute_class_weight('balanced', ...) finds."
            )
        first = self._start_afresh(keep=True)
        _check_partial_fit_first_call(self, classes)
        return self._fit(X, y, sample_weight, epochs=1, first=first, incremental=True)

    @property
    def _criterion_arguments(self):
        return {"label_smoothing": self.label_smoothing}

    @property
    def _n_outputs(self):
        return len(self.classes_)

    def _encode_targets(self, y, weights, first):
        """Return the position of each label among `classes_`."""
        check_classification_targets(y)
        if not hasattr(self, "classes_"):
            self.classes_, codes = np.unique(y, return_inverse=True)
            return codes
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds labels that are not among the classes, {unknown}; the "
                f"classes are {self.classes_}."
            )
        return np.searchsorted(self.classes_, y)

    def _class_weights(self, y, weights):
        if self.class_weight is None:
            return None
        codes = self._encode_targets(y, None, False)
        if isinstance(self.class_weight, str):
            return _balanced_weights(codes, weights)
        # of all classes, as those of a part of the samples need not be among the keys
        weights = compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_
        )
        if not np.isfinite(weights).all() or weights.min() < 0:
            raise ValueError(
                f"class_weight={self.class_weight!r} holds weights that are negative "
                "or not finite."
            )
        return weights[codes]

    def _strata(self, codes):
        """Return the classes, each of which is to be held out from."""
        return self.classes_[codes]

    def _score_outputs(self, outputs, codes, weights):
        """Return the accuracy."""
        return np.average(outputs.argmax(axis=1) == codes, weights=weights)

    def predict(self, X):
        """Predict the label of each sample.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Samples of the shape that `fit` saw.

        Returns
        -------
        ndarray of shape (n_samples,)
            The most probable of `classes_`.
        """
        codes = self._outputs(X).argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Samples of the shape that `fit` saw.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, the columns in the order of `classes_`; rows sum to 1.
        """
        return torch.from_numpy(self._outputs(X)).softmax(1).numpy()

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Samples of the shape that `fit` saw.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms, finite also where `predict_proba` rounds to 0.
        """
        return torch.from_numpy(self._outputs(X)).log_softmax(1).numpy()


def _balanced_weights(codes, weights):
    """Return weights that give each class the same sum, 1 for the rarest class.

    As in scikit-learn 1.9, classes are counted in weights of their samples.
    """
    counts = np.bincount(codes, weights).astype(np.float64)
    is_there = counts > 0
    rarest = counts[is_there].min()
    return np.divide(rarest, counts, out=np.zeros_like(counts), where=is_there)[codes]
