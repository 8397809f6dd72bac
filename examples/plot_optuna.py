"""
=====================================================
How can a search stop bad trials early? With Optuna
=====================================================

Optuna proposes hyper-parameters based on earlier trials, and stops a trial if its
accuracy is low compared with that of other trials at the same epoch. A callback reports
the validation score of each epoch to Optuna. The example needs ``pip install optuna``.
"""

# %%
# Three parts of the data
# -----------------------
# Networks are trained on the first part and compared on the second. The best one is
# scored once on the third.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
X_fit, X_val, y_fit, y_val = train_test_split(
    X_train, y_train, stratify=y_train, random_state=0
)

# %%
# A trial
# -------
# With ``X_val``, the history of the network has a ``valid_score`` for each epoch. A
# skorch callback reports this score, and raises an exception to stop a bad trial.
# ``max_epochs`` is fixed: learning-rate schedules of different lengths cannot be
# compared at the same epoch.

import optuna
from skorch.callbacks import Callback

from skcnn import CNNClassifier

MAX_EPOCHS = 10


class Pruning(Callback):
    def __init__(self, trial):
        self.trial = trial

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        self.trial.report(row["valid_score"], step=row["epoch"])
        if self.trial.should_prune():
            raise optuna.TrialPruned


def accuracy(trial):
    clf = CNNClassifier(
        n_layers=trial.suggest_int("n_layers", 1, 3),
        n_filters=trial.suggest_int("n_filters", 4, 32, log=True),
        kernel_size=trial.suggest_categorical("kernel_size", [3, 5]),
        dropout=trial.suggest_float("dropout", 0, 0.5),
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        max_epochs=MAX_EPOCHS,
        callbacks=[Pruning(trial)],
        random_state=0,
    )
    clf.fit(X_fit, y_fit, X_val=X_val, y_val=y_val)
    return clf.score(X_val, y_val)


# %%
# The study
# ---------
# After five trials, a trial is stopped at epoch 2 or later if it is below the median of
# complete trials at the same epoch.

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
)
study.optimize(accuracy, n_trials=20)

best = CNNClassifier(**study.best_params, max_epochs=MAX_EPOCHS, random_state=0)
best.fit(X_train, y_train)
n_epochs = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"best: {study.best_params}")
print(f"validation {study.best_value:.4f}, test {best.score(X_test, y_test):.4f}")
print(f"{n_epochs} of {MAX_EPOCHS * len(study.trials)} epochs trained")

# %%
# Complete and stopped trials
# ---------------------------
# Each line is a trial. Grey ones were stopped early.

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for trial in study.trials:
    epochs, scores = zip(*trial.intermediate_values.items(), strict=True)
    is_whole = trial.state is optuna.trial.TrialState.COMPLETE
    color = "tab:blue" if is_whole else "lightgrey"
    left.plot(epochs, scores, marker=".", color=color, zorder=2 if is_whole else 1)
    right.plot(trial.params["lr"], max(scores), "o", color=color)
left.set(title=f"{len(study.trials)} trials", xlabel="epoch")
left.set_ylabel("validation accuracy")
right.set(title="By learning rate", xlabel="lr", xscale="log")
right.set_ylabel("best validation accuracy")
plt.show()
