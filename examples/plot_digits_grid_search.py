"""
=====================================================
Is a CNN worth it on the digits? A grid search
=====================================================

Four models are compared on the 1,797 digits of scikit-learn: a convolutional network, a
support vector machine on features of such a network, a support vector machine on
pixels, and a fully connected network. The hyper-parameters of each are searched on the
same training images, by 3-fold cross-validation. Then each is scored once on test
images.
"""

# %%
# Four searches
# -------------
# As a classifier and as a feature extractor, the CNN gets images, ``(n, 8, 8)``. The
# other two models get rows of 64 values.

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

digits = load_digits()
train, test = train_test_split(
    np.arange(len(digits.target)), stratify=digits.target, random_state=0
)
y_train, y_test = digits.target[train], digits.target[test]

searches = {
    "CNNClassifier": (
        GridSearchCV(
            CNNClassifier(max_epochs=15, random_state=0),
            {"n_layers": [1, 2, 3], "n_filters": [16, 32]},
            cv=3,
            n_jobs=-1,
        ),
        digits.images,
    ),
    "CNN features + SVC": (
        GridSearchCV(
            make_pipeline(
                CNNFeatureTransformer(CNNClassifier(max_epochs=15, random_state=0)),
                StandardScaler(),
                SVC(),
            ),
            {
                "cnnfeaturetransformer__layer": ["block2", "penultimate"],
                "svc__C": [1, 10],
            },
            cv=3,
            n_jobs=-1,
        ),
        digits.images,
    ),
    "SVC": (
        GridSearchCV(
            make_pipeline(MinMaxScaler(), SVC()),
            {"svc__C": [1, 10, 100], "svc__gamma": ["scale", 0.01, 0.1]},
            cv=3,
            n_jobs=-1,
        ),
        digits.data,
    ),
    "MLPClassifier": (
        GridSearchCV(
            make_pipeline(
                MinMaxScaler(),
                MLPClassifier(learning_rate_init=0.005, max_iter=1000, random_state=0),
            ),
            {
                "mlpclassifier__hidden_layer_sizes": [(100,), (200,), (100, 100)],
                "mlpclassifier__alpha": [1e-4, 1e-2],
            },
            cv=3,
            n_jobs=-1,
        ),
        digits.data,
    ),
}

# %%
# Fitting, with a progress bar
# ----------------------------
# From scikit-learn 1.9 on, a callback shows the progress of a search.

if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9):
    from sklearn.callback import ProgressBar

    for search, _ in searches.values():
        search.set_callbacks(ProgressBar(max_propagation_depth=0))

for search, X in searches.values():
    search.fit(X[train], y_train)

scores = {}
print(f"{'':18} {'3-fold CV':>9} {'test':>7} {'refit, s':>9}  best parameters")
for name, (search, X) in searches.items():
    scores[name] = search.score(X[test], y_test)
    best = {key.split("__")[-1]: value for key, value in search.best_params_.items()}
    print(
        f"{name:18} {search.best_score_:9.4f} {scores[name]:7.4f} "
        f"{search.refit_time_:9.2f}  {best}"
    )

# %%
# Accuracies and errors
# ---------------------
# Left: cross-validated accuracy of each CNN candidate. Right: the test errors.

cnn = searches["CNNClassifier"][0]
grid = cnn.cv_results_["mean_test_score"].reshape(2, 3)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
image = left.imshow(grid, cmap="viridis")
left.set(
    title="CNNClassifier, 3-fold accuracy",
    xlabel="n_layers",
    xticks=range(3),
    xticklabels=[1, 2, 3],
    ylabel="n_filters",
    yticks=range(2),
    yticklabels=[16, 32],
)
for (row, column), value in np.ndenumerate(grid):
    shade = "black" if value > grid.mean() else "white"
    left.text(column, row, f"{value:.3f}", ha="center", va="center", color=shade)
bars = right.barh(list(scores), [100 * (1 - score) for score in scores.values()])
right.bar_label(bars, fmt="%.1f %%", padding=3)
right.invert_yaxis()
right.margins(x=0.2)
right.set(title="Errors on unseen digits", xlabel="share of test images, %")
figure.savefig("digits_grid_search.png", dpi=150)
print("figure saved as digits_grid_search.png")
