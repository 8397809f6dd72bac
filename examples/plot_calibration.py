"""
=====================================================
Can the probabilities of a CNN be trusted?
=====================================================

A classifier is calibrated if it is right for 90 % of the samples to which it gives a
probability of 0.9. Networks may be overconfident or underconfident.
:class:`~sklearn.calibration.CalibratedClassifierCV` of scikit-learn corrects this for a
CNN as for any other classifier.
"""

# %%
# Noisy digits
# ------------
# With noise, some digits are misclassified.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X = digits.images + np.random.default_rng(0).normal(scale=6, size=digits.images.shape)
X_train, X_test, y_train, y_test = train_test_split(
    X, digits.target, test_size=0.5, stratify=digits.target, random_state=0
)
network = CNNClassifier(n_layers=2, n_filters=16, max_epochs=30, random_state=0)
models = {
    "network": network,
    "label smoothing": CNNClassifier(**network.get_params()).set_params(
        label_smoothing=0.1
    ),
    "temperature scaling": CalibratedClassifierCV(network, method="temperature", cv=3),
}

# %%
# Calibration curves
# ------------------
# The curve compares the probability of the predicted class with the accuracy. A curve
# above the diagonal means underconfidence. Label smoothing increases it; temperature
# scaling, fitted by cross-validation, corrects it.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot([0, 1], [0, 1], color="grey", lw=1, label="calibrated")
for (name, model), style in zip(models.items(), ["o-", "s--", "^:"], strict=True):
    probability = model.fit(X_train, y_train).predict_proba(X_test)
    is_right = probability.argmax(1) == y_test
    curve = calibration_curve(
        is_right, probability.max(1), n_bins=6, strategy="quantile"
    )
    loss = log_loss(y_test, probability)
    print(f"{name:20} accuracy {is_right.mean():.3f}, log loss {loss:.3f}")
    left.plot(*reversed(curve), style, label=name)
    right.hist(
        probability.max(1),
        bins=20,
        range=(0, 1),
        histtype="step",
        ls=style[1:],
        lw=1.5,
        label=name,
    )
left.set(
    xlabel="probability of the predicted class",
    ylabel="fraction of correct predictions",
    xlim=(0.3, 1.02),
    ylim=(0.3, 1.02),
)
left.legend()
right.set(xlabel="probability of the predicted class", ylabel="test digits")
right.legend(loc="upper left")
plt.show()
