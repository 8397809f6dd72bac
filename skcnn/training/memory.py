"""What happens where a batch does not fit in memory."""

from contextlib import contextmanager

import torch


@contextmanager
def explain_out_of_memory(batch_size):
    """Raise a MemoryError that says what to do where memory runs out.

    Parameters
    ----------
    batch_size : int
        Named in the message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if known or "can't allocate memory" in text or "not enough memory" in text:
            advice = "Use smaller images or a smaller network."
            if batch_size > 1:
                advice = f"Use a smaller one, for example batch_size={batch_size // 2}."
            raise MemoryError(
                f"Out of memory with batch_size={batch_size}. {advice}"
            ) from error
        raise
