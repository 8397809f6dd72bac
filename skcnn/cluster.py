"""Searches on a dask cluster, and fits that several processes share."""

from contextlib import contextmanager
from uuid import uuid4

import joblib

from .runtime import process_index, training_together


def parallel_on_dask(client=None, **options):
    """Run scikit-learn's searches and ensembles on the workers of a dask cluster.

    This is ``joblib.parallel_config("dask")``, except that the loss of a worker is
    tolerated: its fits are repeated by other workers, and the data that it held are
    sent again by the scheduler. The scheduler keeps one copy of the data during the
    search, and sends it to each worker once.

    Parameters
    ----------
    client : distributed.Client or None, default=None
        Client of the cluster. None is the client that was created last.

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
    In `fit`, each process computes the gradients of its part of each batch, and all
    processes update their weights by the average of the gradients [1]_. At the end,
    each process has the same fitted estimator. Without the launcher, this context has
    no effect.

    `batch_size` is the number of samples of a step, summed over the processes. The
    gradients equal those of one process up to rounding, with two exceptions: a process
    normalises by the batch statistics of its own part unless ``norm`` is "group" or
    None, and random layers such as dropout draw other numbers.

    Each process must load the same data, and call `fit` with the same parameters. With
    ``random_state=None``, all processes use the seed of the first one. With several
    GPUs on a machine, ``device="auto"`` is the GPU of the local rank. In this context,
    ``memory`` is not used, and a batch that does not fit in memory is not halved.
    Searches must have ``n_jobs=None``.

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
