"""Those checks of scikit-learn that need no table of numbers as X and y."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from skcnn import CNNClassifier
from skcnn.localization import (
    ActivationLocalizer,
    BoxRegressor,
    PretrainedDetector,
    SlidingWindowDetector,
)

NAMES = {
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_mixin_order",
    "check_parameters_default_constructible",
}
ESTIMATORS = [
    SlidingWindowDetector(),
    BoxRegressor(),
    ActivationLocalizer(CNNClassifier()),
    PretrainedDetector("ssd300_vgg16", "weights.pt"),
]


def checks_of(estimator):
    for _, check in estimator_checks_generator(estimator):
        if getattr(check, "func", check).__name__ in NAMES:
            yield check


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_scikit_learn_checks(estimator):
    checks = list(checks_of(estimator))
    assert len(checks) >= 8
    for check in checks:
        check(estimator)
