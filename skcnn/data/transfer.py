"""Copies to and from a GPU that nothing waits for."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

BATCHES_AHEAD = 2


def send(tensor, device):
    """Move a tensor to a device; a GPU is not waited for.

    Parameters
    ----------
    tensor : torch.Tensor
        On any device.

    device : torch.device
        Where it is wanted.

    Returns
    -------
    torch.Tensor
        The same tensor where it is there already.
    """
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def send_ahead(items, device, read):
    """Read tensors and move them to a device, to a GPU before they are wanted.

    There, a thread reads and sends at most two tensors ahead of the one that is
    worked on, beside what the GPU computes. The thread ends with the iterator.

    Parameters
    ----------
    items : iterable
        Taken one at a time, by the thread that iterates, as they are needed.

    device : torch.device
        Where the tensors are wanted.

    read : callable
        From an item to a tensor on the CPU.

    Yields
    ------
    item : object
        The item.

    tensor : torch.Tensor
        What was read of it, on the device.
    """
    if device.type != "cuda":
        for item in items:
            yield item, send(read(item), device)
        return
    stream = _sending_stream(device)

    def read_and_send(item):
        with torch.cuda.stream(stream):
            return send(read(item), device), stream.record_event()

    for item, (tensor, is_there) in _make_ahead(read_and_send, items):
        current = torch.cuda.current_stream(device)
        current.wait_event(is_there)
        tensor.record_stream(current)  # its memory is in use until then
        yield item, tensor


@lru_cache  # of one stream, memory is used again
def _sending_stream(device):
    return torch.cuda.Stream(device)


def _make_ahead(function, items):
    """Yield items and what a thread makes of them."""
    pool, pending = ThreadPoolExecutor(1, "skcnn-send"), deque()
    try:
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) > BATCHES_AHEAD:
                item, future = pending.popleft()
                yield item, future.result()
        for item, future in pending:
            yield item, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def fetch(tensors):
    """Begin to copy tensors to the CPU.

    Parameters
    ----------
    tensors : sequence of torch.Tensor
        All on one device.

    Returns
    -------
    callable
        Without arguments; it waits for the copies and returns them, a list of
        ndarray. What is computed on a GPU after this call is not waited for.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return lambda: [tensor.cpu().numpy() for tensor in tensors]
    copies = [
        torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(
            tensor, non_blocking=True
        )
        for tensor in tensors
    ]
    is_there = torch.cuda.current_stream(device).record_event()

    def wait():
        is_there.synchronize()
        return [copy.numpy() for copy in copies]

    return wait
