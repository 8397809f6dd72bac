"""Searches on a dask cluster, and fits that several processes share."""

from contextlib import contextmanager
from uuid import uuid4

import joblib

from .runtime import process_index, training_together


def parallel_on_dask(client=None, **options):
    """Let scikit-learn's searches and ensembles run on the workers of a dask cluster.

    Like ``joblib.parallel_config("dask")``, which it is made of, except that a worker
    may be lost: the training data and the folds that it holds are sent again from the
    scheduler, and its fits are repeated by the other workers. The scheduler keeps one
    copy of the data during the search. They travel to each worker once.

    Parameters
    ----------
    client : distributed.Client or None, default=None
        Client of the cluster; None is the one that was created last.

    **options : dict
        Further options of :class:`joblib.parallel_config`, such as `retries`.

    Returns
    -------
    joblib.parallel_config
        A context manager.

    Raises
    ------
    ImportError
        If dask and distributed are not installed.

    ValueError
        If there is no client.

    Examples
    --------
    >>> from distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from skcnn import CNNClassifier
    >>> from skcnn.cluster import parallel_on_dask
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> with Client(processes=False, dashboard_address=":0"), parallel_on_dask():
    ...     cross_val_score(clf, X[:200], y[:200], cv=2).shape
    (2,)
    """
    from distributed import get_client

    client = _RecoveringClient(get_client() if client is None else client)
    return joblib.parallel_config("dask", client=client, **options)


@contextmanager
def data_parallel():
    """Train each network of this context in several processes, such as one per GPU.

    torch's launcher starts the processes: ``torchrun --nproc-per-node=2 script.py``.
    In `fit`, each process computes the gradients of its part of each batch, and the
    average of the gradients changes the weights of all of them [1]_. At the end, each
    process has the same fitted estimator. Without the launcher, this context has no
    effect.

    `batch_size` is the number of samples of a step of all processes together. The
    gradients equal those of one process up to rounding, with two exceptions: a process
    normalises by the batch statistics of its own part unless ``norm`` is "group" or
    None, and random layers such as dropout draw other numbers.

    Each process must call `fit` with the same data and parameters, and loads them and
    reads its batches itself. ``random_state=None`` is the seed of the first process.
    With several GPUs on a machine, ``device="auto"`` is the GPU of the local rank.
    A fit of this context does not use ``memory``, and a batch that does not fit in
    memory is not halved. Searches must have ``n_jobs=None``.

    Yields
    ------
    int
        Rank of this process, 0 in the first. Write files only there.

    Raises
    ------
    ValueError
        In `fit`, if the processes have different data or parameters.

    References
    ----------
    .. [1] Li, S. et al. "PyTorch distributed: experiences on accelerating data
       parallel training." Proceedings of the VLDB Endowment 13 (2020).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.cluster import data_parallel
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> with data_parallel() as rank:
    ...     score = clf.fit(X[:200], y[:200]).score(X[200:], y[200:])
    ...     if rank == 0:
    ...         print(f"accuracy {score:.1f}")
    accuracy 0.7
    """
    with training_together():
        yield process_index()


class _RecoveringClient:
    """Client whose data are results of tasks, which are repeated on other workers.

    dask cannot bring back what `scatter` has put on a worker that is lost.
    """

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    async def scatter(self, data, **options):
        """Return a future of data, for joblib, which awaits it."""
        import dask

        any_size = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}
        with dask.config.set(any_size):
            return self._client.submit(_same, data, key=f"data-{uuid4().hex}")


def _same(data):
    return data
