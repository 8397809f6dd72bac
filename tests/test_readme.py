"""The code of README.md runs, in the order in which it stands there."""

import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md"])
def test_code_of_page_runs(page, tmp_path, monkeypatch, capsys):
    blocks = BLOCK.findall((REPOSITORY / page).read_text())
    assert blocks
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    sorted(path.name for path in (REPOSITORY / "examples").glob("plot_*.py")),
)
def test_example_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(REPOSITORY / "examples" / example))
