import numpy as np
from matplotlib import pyplot as plt

from skcnn.localization import BoxDisplay


def test_each_box_is_drawn_where_it_is():
    images = [np.zeros((40, 60, 3), np.uint8), np.zeros((30, 30, 1))]
    y_true = [[[5, 6, 20, 30], [30, 6, 40, 30]], []]
    y_pred = [
        {"boxes": [[4, 6, 20, 30]], "labels": ["ant"], "scores": [1.25]},
        {"boxes": [], "labels": [], "scores": []},
    ]
    display = BoxDisplay(images, y_true, y_pred).plot()
    drawn = [patch.get_bbox().extents.tolist() for patch in display.ax_[0].patches]
    assert drawn == [*y_true[0], *y_pred[0]["boxes"]]
    assert [text.get_text() for text in display.ax_[0].texts] == ["ant 1.2"]
    assert not display.ax_[1].patches
    plt.close(display.figure_)
