"""
=====================================================
How do I train a CNN on the digits of scikit-learn?
=====================================================

Like any other classifier, with ``fit``. This example trains a convolutional network on
898 images of 8 × 8 pixels and looks at the network and at its training.
"""

# %%
# Fit and score
# -------------

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.5, random_state=0
)
clf = CNNClassifier(random_state=0).fit(X_train, y_train, X_val=X_test, y_val=y_test)
print(f"accuracy on {len(X_test)} test digits: {clf.score(X_test, y_test):.4f}")

# %%
# The network
# -----------
# The network has three convolutions and a fully connected layer. The last column of
# the summary counts the weights that fully connected layers would need instead.

from skcnn import summary

print(summary(clf))

# %%
# Learning curves
# ---------------
# The test digits were passed as ``X_val``, so they were scored after each epoch. They
# have no influence on training.

from skcnn.inspection import HistoryDisplay

HistoryDisplay.from_estimator(clf)
plt.show()
