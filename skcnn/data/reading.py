"""Samples that become batches when these are asked for."""


class BatchReader:
    """Samples of which `take` puts a batch together, none ahead of time."""

    def batches(self, indices):
        """Yield batches.

        Parameters
        ----------
        indices : iterable of slice or torch.Tensor
            Which samples, batch by batch.

        Yields
        ------
        index : slice or torch.Tensor
            Which samples.

        batch : torch.Tensor
            As of `take`.
        """
        for index in indices:
            yield index, self.take(index)
