"""The code of README.md and of the documentation runs."""

import re
import runpy
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import sklearn
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

REPOSITORY = Path(__file__).resolve().parents[1]
IN_MARKDOWN = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_RST = re.compile(r"^\.\. code-block:: python\n\n((?:(?: {3}.*)?\n)+)", re.MULTILINE)
N_DIGITS = 200
INCLUDED = re.compile(
    r"^\.\. literalinclude:: (.+)\n   :start-at: (.+)\n   :end-before: (.+)\n",
    re.MULTILINE,
)
GUIDE = REPOSITORY / "docs" / "guide"
SHORTER = {
    r"max_epochs=\d+": "max_epochs=2",  # of networks that nothing is asked of
    r"memory=True": 'memory="features"',
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

    def load(return_X_y=False):
        return (few.data, few.target) if return_X_y else few

    monkeypatch.setattr("sklearn.datasets.load_digits", load)
    return few


@pytest.mark.slow
def test_code_of_readme_runs(here):
    blocks = IN_MARKDOWN.findall((REPOSITORY / "README.md").read_text())
    assert len(blocks) >= 2
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
def test_code_of_the_page_on_localization_runs(here):
    names = run("\n".join(blocks_of("docs/localization.rst")), here)
    assert names["search"].best_score_ > 0.3
    plt.close("all")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of dask
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_code_of_the_page_on_clusters_runs(here, few_digits):
    pytest.importorskip("distributed")
    making_the_folder, *_ = blocks_of("docs/photographs.rst")
    blocks = blocks_of("docs/beyond_one_machine.rst")
    blocks = [block for block in blocks if "OMP_NUM_THREADS" not in block]  # once more
    code = "\n".join([making_the_folder, *blocks])
    for long, short in {
        "n_trials=30": "n_trials=2",
        "random_state=0": "random_state=0, max_epochs=2",
        "[1, 2, 3]": "[1]",
    }.items():
        assert long in code
        code = code.replace(long, short)
    names = run(code, here)
    names["client"].shutdown()
    assert names["features"].shape == (80, 1280)
    assert len(names["study"].trials) == 2


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(path.name for path in GUIDE.glob("*.rst")))
def test_code_of_the_guide_runs(page, here, few_digits):
    code = "\n".join(blocks_of(f"docs/guide/{page}"))
    for pattern, replacement in SHORTER.items():
        code = re.sub(pattern, replacement, code)
    with sklearn.config_context():
        run(code, here)
    plt.close("all")


def test_broken_links_are_found(here):
    (here / "index.html").write_text(
        '<p id="top"><a href="#top"><a href="#end"><a href="other.html#part">'
        '<img src="absent.png"><a href="https://example.org/x"></p>'
    )
    (here / "other.html").write_text('<h1 id="part"><a href="index.html">')
    module = runpy.run_path(str(REPOSITORY / "docs" / "check_links.py"))
    found = list(module["broken_links"](here))
    assert found == ["index.html: #end", "index.html: absent.png"]


def blocks_of(page):
    """Return the code of a page, block by block."""
    path = REPOSITORY / page
    text = INCLUDED.sub(
        lambda m: included_code(path.parent, *m.groups()), path.read_text()
    )
    blocks = IN_RST.findall(text)
    assert len(blocks) == text.count(".. code-block:: python")
    return list(map(textwrap.dedent, blocks))


def included_code(folder, name, start, end):
    """Return the lines of a file from one that has `start` to one that has `end`."""
    code = (folder / name).read_text()
    code = code[code.index(start) :]
    code = textwrap.indent(code[: code.index(end)], "   ")
    return f".. code-block:: python\n\n{code}"


def run(code, folder):
    """Run code as a script, and return the names that it leaves."""
    script = folder / "page.py"
    script.write_text(code)
    return runpy.run_path(str(script))
