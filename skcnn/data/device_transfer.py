"""Transfer of tensors to and from a GPU, with prefetching in threads."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import torch

BATCHES_AHEAD = 2


def send(tensor, device):
    """Move a tensor to a device, without waiting for a GPU.

    Parameters
    ----------
    tensor : torch.Tensor
        Tensor on any device.

    device : torch.device
        Device of the result.

    Returns
    -------
    torch.Tensor
        The tensor itself if it is on that device.
    """
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def send_ahead(items, device, read):
    """Read tensors and move them to a device, with prefetching for a GPU.

    For a GPU, a thread reads and sends at most two tensors ahead of use. The thread
    ends with the iterator.

    Parameters
    ----------
    items : iterable
        Items, taken one at a time in the caller's thread.

    device : torch.device
        Device of the tensors.

    read : callable
        Function from an item to a tensor on the CPU.

    Yields
    ------
    item : object
        The item.

    tensor : torch.Tensor
        Its tensor, on the device.
    """
    if device.type != "cuda":
        for item in items:
            yield item, send(read(item), device)
        return
    stream = _sending_stream(device)

    def read_and_send(item):
        with torch.cuda.stream(stream):
            return send(read(item), device), stream.record_event()

    with thread_pool(1, "skcnn-send") as pool:
        for item, future in ahead(items, lambda item: pool.submit(read_and_send, item)):
            tensor, is_there = future.result()
            current = torch.cuda.current_stream(device)
            current.wait_event(is_there)
            tensor.record_stream(current)  # keeps its memory until it has been used
            yield item, tensor


@lru_cache  # on a single stream, torch reuses memory
def _sending_stream(device):
    return torch.cuda.Stream(device)


@contextmanager
def thread_pool(n_threads, name):
    """Provide a thread pool; pending tasks are cancelled at the end of the context."""
    pool = ThreadPoolExecutor(n_threads, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items, submit):
    """Yield items with the results of `submit`, called at most two items ahead."""
    pending = deque()
    for item in items:
        pending.append((item, submit(item)))
        if len(pending) > BATCHES_AHEAD:
            yield pending.popleft()
    yield from pending


def receive(tensors):
    """Start to copy tensors to the CPU.

    Parameters
    ----------
    tensors : sequence of torch.Tensor
        Tensors on one device.

    Returns
    -------
    callable
        Function without arguments that waits for the copies and returns a list of
        ndarray. It does not wait for later work of the GPU.
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
