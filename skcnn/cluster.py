"""Searches on a dask cluster, which go on if a worker is lost."""

from uuid import uuid4

import joblib


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
