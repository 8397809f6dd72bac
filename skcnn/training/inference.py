"""Outputs of a trained network."""

import torch

from .devices import autocast


def predict_batches(module, images, batch_size, precision):
    """Compute the outputs of `module`, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        The network. It is left in evaluation mode.

    images : Images
        The samples.

    batch_size : int
        Number of samples of one forward pass.

    precision : str
        A key of `DTYPES`.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Outputs in double precision.

    Raises
    ------
    ValueError
        If an output is not finite.
    """
    module.eval()
    with torch.inference_mode(), autocast(images.device, precision):
        outputs = [
            _outputs(module, images.take(slice(start, start + batch_size)))
            for start in range(0, len(images), batch_size)
        ]
        outputs = torch.cat(outputs).to("cpu", torch.float64)
    if not torch.isfinite(outputs).all():
        raise ValueError(
            "The network returned NaN or infinity. X holds values far outside the "
            "range of the images in fit: scale them alike."
        )
    return outputs.numpy()


def _outputs(module, batch):
    """Return the outputs of a batch, the same bits whatever its size.

    For a lone small image torch chooses other kernels: it gets a twin.
    """
    if len(batch) > 1:
        return module(batch)
    return module(torch.cat([batch, batch]))[:1]
