"""Number of scikit-learn's estimator checks that pass.

    python benchmarks/conformance.py

The API checks and the full suite are run on both trained estimators with default
parameters, and on the feature transformer with random filters and with a network
that it trains. One check fails: the equivalence of weighted and repeated samples. It is
repeated with batches of the whole training set and without batch normalisation. The
check of array API input is skipped unless the environment variable ``SCIPY_ARRAY_API``
is 1.
"""

import warnings
from collections import Counter

import sklearn
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_sample_weight_equivalence_on_dense_data,
)

from skcnn import CNNClassifier, CNNFeatureTransformer, CNNRegressor

EXACT = {"norm": None, "batch_size": 1000, "precision": "float64"}


def report(estimator, legacy):
    """Print what passed, and what did not."""
    results = check_estimator(estimator, legacy=legacy, on_fail=None, on_skip=None)
    counts = Counter(result["status"] for result in results)
    suite = "full" if legacy else "API"
    name = " ".join(str(estimator).split())
    print(
        f"{name:55} {suite:5} passed {counts['passed']} of {len(results)}, "
        f"failed {counts['failed']}, skipped {counts['skipped']}"
    )
    for result in results:
        if result["status"] != "passed":
            reason = str(result["exception"]).strip().splitlines()[0]
            print(f"    {result['status']}: {result['check_name']}: {reason}")


def main():
    """Run the suites."""
    warnings.simplefilter("ignore")
    print(f"scikit-learn {sklearn.__version__}")
    for estimator in (
        CNNClassifier(),
        CNNRegressor(),
        CNNFeatureTransformer("convnet", weights=None),
        CNNFeatureTransformer(CNNClassifier()),
    ):
        report(estimator, legacy=False)
        report(estimator, legacy=True)
    for estimator in (CNNClassifier, CNNRegressor):
        check_sample_weight_equivalence_on_dense_data(
            estimator.__name__, estimator(**EXACT)
        )
        print(f"{estimator.__name__}: equivalence of weights passed with {EXACT}")


if __name__ == "__main__":
    main()
