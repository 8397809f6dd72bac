"""Order of the examples in the gallery."""

LECTURE = [
    "quick_start",
    "digits_grid_search",
    "hyperparameters",
    "optuna",
    "convolution",
    "pooling_shift",
    "vanishing_gradient",
    "augmentation",
    "own_network",
    "wrong_images",
    "calibration",
    "feature_maps",
    "filters",
    "class_activation",
    "photographs",
    "feature_spaces",
    "best_layer",
    "fine_tuning",
    "nearest_neighbours",
    "embedding",
    "find_and_recognise",
    "faces",
    "signals",
    "clips",
    "volumes",
    "sentences",
]


class LectureOrder:
    """Key of an example's place in a lecture."""

    def __init__(self, folder):
        pass

    def __call__(self, name):
        return LECTURE.index(name.removeprefix("plot_").removesuffix(".py"))
