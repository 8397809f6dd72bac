"""
==================================================
Which words does a network for sentences look for?
==================================================

:class:`~skcnn.TextCNNClassifier` learns filters that respond to groups of three to
five words. Here it predicts which scikit-learn module a docstring sentence is from. The
example compares it with a linear model on tf-idf and shows the words to which its
filters respond.
"""

# %%
# Sentences of docstrings
# -----------------------
# Each sample is a sentence of a docstring in one of six modules. Sentences that several
# modules share are left out. Sentences of one docstring resemble each other, so all
# sentences of a function or class are either in the training set or in the test set.

import inspect
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.discovery import all_estimators, all_functions

from skcnn import TextCNNClassifier

MODULES = {
    "cluster",
    "datasets",
    "decomposition",
    "linear_model",
    "metrics",
    "preprocessing",
}


# Not sentences: headings, and lines like "name : type".
NO_SENTENCE = re.compile(r"^.*\n-+$|^ *[\w, *]+ : .*$", re.MULTILINE)


def sentences_of(thing):
    """Return the sentences of a docstring."""
    text = NO_SENTENCE.sub("\n\n", inspect.getdoc(thing) or "")
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    sentences = [s for part in paragraphs for s in re.split(r"(?<=[.!?]) ", part)]
    return [s for s in sentences if re.fullmatch(r"[A-Z][^>]+ [^>]+ [^>]+\.", s)]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # some modules warn when they are imported
    things = [*all_estimators(), *all_functions()]
data = pd.DataFrame(
    [
        (sentence, thing.__module__.split(".")[1], name)
        for name, thing in things
        for sentence in sentences_of(thing)
    ],
    columns=["sentence", "module", "thing"],
)
n_modules = data.groupby("sentence")["module"].transform("nunique")
data = data[data["module"].isin(MODULES) & (n_modules == 1)]
data = data.drop_duplicates("sentence")
split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
((rows, test_rows),) = split.split(data, groups=data["thing"])
train, test = data.iloc[rows], data.iloc[test_rows]
print(len(train), "sentences to train on,", len(test), "to test")
for sample in test.sample(3, random_state=1).itertuples():
    print(f"{sample.module}: {sample.sentence}")

# %%
# Three models
# ------------
# The regularisation of the linear model is searched. The network is trained once, as a
# transformer: a support vector machine gets the largest response of each filter. The
# fitted network is also a classifier by itself.

linear = GridSearchCV(
    make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    ),
    {"logisticregression__C": [1, 10, 100]},
)
pipeline = make_pipeline(
    TextCNNClassifier(random_state=0), StandardScaler(), LinearSVC(C=0.001)
)
linear.fit(train["sentence"], train["module"])
pipeline.fit(train["sentence"], train["module"])
network = pipeline[0]
models = {
    "tf-idf + logistic regression": linear,
    "network": network,
    "features of the network + SVC": pipeline,
}
accuracy = {
    name: model.score(test["sentence"], test["module"])
    for name, model in models.items()
}
print(pd.Series(accuracy).round(3).to_string())

# %%
# Try a linear model on tf-idf first: it trains in seconds and is nearly as accurate.
# The network is worth its time if groups of words matter, if you have pretrained word
# vectors, or if you need its features.

# %%
# Why this module?
# ----------------
# These n-grams contribute most to the predicted module of a sentence. All contributions
# and the bias add up to the score of the module.

sentence = test["sentence"].iloc[0]
(predicted,) = network.predict([sentence])
(explained,) = network.explain([sentence])
print(sentence, "->", predicted)
for ngram, contribution in explained[predicted][:4]:
    print(f"{contribution:+.2f}  {ngram}")

# %%
# The words to which filters respond
# ----------------------------------
# The figure shows one filter for each module, with the largest product of weight and
# excess. The excess is the mean response to sentences of the module minus that to
# others.

features = network.transform(train["sentence"])
weights = network.module_.output.weight.detach().numpy()
figure, axes = plt.subplots(3, 2, figsize=(10, 6), layout="constrained")
for code, (module, axis) in enumerate(zip(network.classes_, axes.flat, strict=True)):
    is_module = (train["module"] == module).to_numpy()
    excess = features[is_module].mean(0) - features[~is_module].mean(0)
    ngrams = network.top_ngrams(int(np.argmax(excess * weights[code])), n_top=5)
    texts, responses = zip(*ngrams, strict=True)
    axis.barh(texts, responses)
    axis.invert_yaxis()
    axis.set(title=module, xlabel="response")
plt.show()
