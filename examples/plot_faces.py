"""
==============================================================
Is a face recognised in other light and from another angle?
==============================================================

A program draws twelve synthetic faces with chosen angles of light and view. Models are
trained on faces that are lit and seen nearly from the front. Test sets have growing
angles of the light or of the face.
"""

# %%
# Faces made by a program
# -----------------------
# A face is an ellipsoid with a nose, eye sockets, eyes, brows and a mouth, whose sizes
# and places differ between persons. Each of its points is turned, projected and lit by
# Lambert's cosine law.

import matplotlib.pyplot as plt
import numpy as np

N_PERSONS, SIDE = 12, 32
u, v = np.meshgrid(np.linspace(-1.4, 1.4, 180), np.linspace(-1.3, 1.3, 180))


def blob(x, y, width, height):
    """Return a bump on the face, of height 1."""
    return np.exp(-(((u - x) / width) ** 2) - ((v - y) / height) ** 2)


def make_face(rng):
    """Return the points (3, n), normals (3, n) and shades (n,) of a new face."""
    eye, eye_y, mouth_y = rng.uniform((0.25, -0.35, 0.45), (0.5, -0.1, 0.7))
    nose, nose_y, wide = rng.uniform((0.15, 0.0, 0.65), (0.4, 0.25, 0.95))
    eyes = blob(-eye, eye_y, 0.13, 0.08) + blob(eye, eye_y, 0.13, 0.08)
    brow_y = eye_y - rng.uniform(0.15, 0.3)
    brows = blob(-eye, brow_y, 0.2, 0.05) + blob(eye, brow_y, 0.2, 0.05)
    mouth = blob(0, mouth_y, rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.12))
    radius = 1 + nose * blob(0, nose_y, 0.12, 0.25) - 0.1 * eyes + 0.06 * mouth
    points = np.array(
        [
            wide * radius * np.sin(u) * np.cos(v),
            radius * np.sin(v),
            radius * np.cos(u) * np.cos(v),
        ]
    )
    normals = np.cross(np.gradient(points, axis=2), np.gradient(points, axis=1), axis=0)
    normals /= np.linalg.norm(normals, axis=0) + 1e-9
    shades = 0.9 - 0.6 * eyes - rng.uniform(0.2, 0.7) * brows - 0.4 * mouth
    return points.reshape(3, -1), normals.reshape(3, -1), shades.ravel()


def picture(face, turn, light):
    """Draw a face, turned by an angle and lit from an angle, in degrees."""
    points, normals, shades = face
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    x, y, depth = rotation @ points
    direction = [np.sin(np.radians(light)), -0.3, np.cos(np.radians(light))]
    lambert = np.clip(direction @ (rotation @ normals), 0, None)
    pixel = (np.array([y, x]) * 0.8 + 1) / 2 * SIDE
    rows, columns = np.clip(pixel.astype(int), 0, SIDE - 1)
    order = np.argsort(depth)  # the nearest points are drawn last
    image = np.zeros((SIDE, SIDE))
    image[rows[order], columns[order]] = (shades * (0.15 + 0.85 * lambert))[order]
    return (255 * np.clip(image, 0, 1)).astype(np.uint8)


rng = np.random.default_rng(0)
faces = [make_face(rng) for _ in range(N_PERSONS)]
persons = np.arange(N_PERSONS)
y_train = np.repeat(persons, 30)
X_train = np.array(
    [picture(faces[p], rng.uniform(-20, 20), rng.uniform(-20, 20)) for p in y_train]
)
angles = [0, 15, 30, 45, 60]
y_test = np.repeat(persons, 4)


def draw_test_set(turn, light):
    signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)] * N_PERSONS
    return np.array(
        [
            picture(faces[p], a * (turn + 2), b * (light + 2))
            for p, (a, b) in zip(y_test, signs, strict=True)
        ]
    )


test_sets = {
    "light from the side": [draw_test_set(0, angle) for angle in angles],
    "turned face": [draw_test_set(angle, 0) for angle in angles],
}

# %%
# Four models
# -----------
# Eigenfaces are the principal components of pixels. The pretrained network has never
# seen such pictures.

from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1) / 255)
models = {
    "pixels + linear SVC": make_pipeline(flatten, SVC(kernel="linear")),
    "eigenfaces + linear SVC": make_pipeline(
        flatten, PCA(40, whiten=True, random_state=0), SVC(kernel="linear")
    ),
    "CNN": CNNClassifier(n_filters=16, random_state=0),
    "pretrained features + linear SVC": make_pipeline(
        CNNFeatureTransformer(image_size=64), StandardScaler(), SVC(kernel="linear")
    ),
}
for model in models.values():
    model.fit(X_train, y_train)

# %%
# Accuracy by angle
# -----------------

figure = plt.figure(figsize=(10, 5.6), layout="constrained")
styles = ["s:", "v:", "o-", "P--"]
parts = figure.subfigures(1, 2)
for part, (title, images) in zip(parts, test_sets.items(), strict=True):
    part.suptitle(title)
    top, bottom = part.subfigures(2, 1, height_ratios=(1, 3))
    for ax, X_test in zip(top.subplots(1, len(angles)), images, strict=True):
        ax.imshow(X_test[4], cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
    ax = bottom.subplots()
    for (name, model), style in zip(models.items(), styles, strict=True):
        scores = [model.score(X_test, y_test) for X_test in images]
        ax.plot(angles, scores, style, label=name)
        print(f"{title}, {name:32}", np.round(scores, 2))
    ax.set(xlabel="angle, degrees", ylabel="accuracy", xticks=angles, ylim=(0, 1.03))
    if part is parts[0]:
        ax.legend(loc="lower left")
plt.show()
