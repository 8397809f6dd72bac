"""Configuration of the documentation: sphinx-build -W docs docs/_build/html."""

import os
import sys
from importlib.metadata import version as version_of

sys.path.insert(0, os.path.dirname(__file__))  # gallery_order

project = "skcnn"
author = "the skcnn developers"
copyright = "2026, the skcnn developers"
release = version_of("skcnn")
version = ".".join(release.split(".")[:2])

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False}
html_show_sourcelink = False
html_sidebars = {"benchmarks": [], "coming_from": [], "index": []}  # nothing below them
toc_object_entries_show_parents = "hide"  # fit, not CNNClassifier.fit

# The class template lists the members, with their docstrings.
numpydoc_show_class_members = False

# Links to other projects need the network: SKCNN_DOCS_LINKS=1 asks for them.
intersphinx_timeout = 5
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "scipy": ("https://docs.scipy.org/doc/scipy", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
    "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
}
if os.environ.get("SKCNN_DOCS_LINKS") != "1":
    intersphinx_mapping = {}

# Each link has to lead somewhere, except for those that lead out of this package ...
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(copy|collections|joblib|numpy|os|pickle|scipy|sklearn|skorch)\b.*"),
    (r"py:.*", r"(torch|torchvision)\b.*"),
    (r"py:class", r"Optimizer"),  # in docstrings inherited from torch.optim
    # ... and those in docstrings inherited from scikit-learn.
    (r"std:term", r"meta-estimator"),
    (r"std:ref", r"accuracy_score|df_output_transform|metadata_routing|r2_score"),
    (r"std:ref", r"sphx_glr_auto_examples_miscellaneous_.*"),
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skcnn",),
    "within_subsection_order": "gallery_order.LectureOrder",
    "show_memory": False,
    "thumbnail_size": (800, 560),  # sharp on the front page, too
}
