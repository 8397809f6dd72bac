"""The code of README.md, of the documentation and of the examples runs."""

import re
import runpy
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import sklearn
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

REPOSITORY = Path(__file__).resolve().parents[1]
IN_MARKDOWN = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_RST = re.compile(r"^\.\. code-block:: python\n\n((?:(?: {3}.*)?\n)+)", re.MULTILINE)
N_DIGITS = 100
# What would be downloaded, or take minutes, in the guide.
SHORTER = {
    '"resnet18"': '"resnet18", weights=None, image_size=64',
    r"max_epochs=\d+": "max_epochs=2",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Be in an empty folder, and have the user's feature cache there, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def few_digits(monkeypatch):
    """Let scikit-learn load few digits."""
    digits = load_digits()
    few = Bunch(**{name: digits[name][:N_DIGITS] for name in ("data", "images")})
    few.target = digits.target[:N_DIGITS]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
    return few


@pytest.fixture
def guide_names(few_digits, here, monkeypatch):
    """Names that the user guide's code takes for the reader's own."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    from fashion_mnist import small_resnet

    X, X_val, y, y_val = train_test_split(
        few_digits.data, few_digits.target, test_size=30, random_state=0
    )
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    # whole ones: worker processes may have been started in another folder
    paths = [str(here / f"{i}.png") for i in range(20)]
    for path, image in zip(paths, few_digits.images, strict=False):
        Image.fromarray((15 * image).astype("uint8")).save(path)
    return {
        "X_train": X_train,
        "y_train": y_train,
        "X_val": X_val,
        "y_val": y_val,
        "y_test": y_test,
        "train_signals": [x[None, : 50 + i % 9] for i, x in enumerate(X_train)],
        "test_signals": [x[None, : 50 + i % 9] for i, x in enumerate(X_test)],
        "paths": paths,
        "labels": [i % 2 for i in range(20)],
        "small_resnet": small_resnet,
    }


@pytest.mark.slow
def test_code_of_readme_runs(here):
    blocks = IN_MARKDOWN.findall((REPOSITORY / "README.md").read_text())
    assert len(blocks) >= 5
    making_the_folder, *_ = blocks_of("docs/photographs.rst")  # as README says
    run("\n".join([making_the_folder, *blocks]), here)


@pytest.mark.slow
def test_code_of_the_front_page_runs(here, few_digits):
    (block,) = blocks_of("docs/index.rst")
    run(block, here)


@pytest.mark.slow
def test_code_of_the_page_on_photographs_runs(here):
    names = run("\n".join(blocks_of("docs/photographs.rst")), here)
    assert names["search"].score(names["X_test"], names["y_test"]) > 0.6
    assert len(names["fig"].axes) == 5
    plt.close("all")


@pytest.mark.slow
def test_code_of_the_page_on_saving_runs(here, few_digits):
    names = run("\n".join(blocks_of("docs/saving.rst")), here)
    assert names["label"].shape == (5,)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:X has rows of 64 values")  # stand for the reader's
def test_code_of_the_guide_runs(here, guide_names):
    blocks = blocks_of("docs/user_guide.rst")
    assert len(blocks) > 10
    names = {}
    with sklearn.config_context():
        for code in blocks:
            for pattern, replacement in SHORTER.items():
                code = re.sub(pattern, replacement, code)
            names = run(code, here, names | guide_names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    sorted(path.name for path in (REPOSITORY / "examples").glob("plot_*.py")),
)
def test_example_runs(example, here):
    runpy.run_path(str(REPOSITORY / "examples" / example))


def blocks_of(page):
    """Return the code of a page, block by block."""
    text = (REPOSITORY / page).read_text()
    blocks = IN_RST.findall(text)
    assert len(blocks) == text.count(".. code-block:: python")
    return list(map(textwrap.dedent, blocks))


def run(code, folder, names=None):
    """Run code as a script, and return the names that it leaves."""
    script = folder / "page.py"
    script.write_text(code)
    return runpy.run_path(str(script), names)
