import pytest
import torch

from skcnn.training import explain_out_of_memory


def too_much_memory():
    return torch.empty(2**60, dtype=torch.uint8)


def raise_memory_error():
    raise MemoryError


@pytest.mark.parametrize("allocate", [too_much_memory, raise_memory_error])
def test_out_of_memory_names_the_batch_size_and_a_smaller_one(allocate):
    with (
        pytest.raises(MemoryError, match=r"batch_size=64\..*batch_size=32\."),
        explain_out_of_memory(64),
    ):
        allocate()


def test_out_of_memory_with_one_sample_does_not_advise_the_same_batch_size():
    with pytest.raises(MemoryError) as error, explain_out_of_memory(1):
        raise_memory_error()
    assert "for example batch_size=1" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError("other"), ValueError("memory")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, explain_out_of_memory(64):
        raise error
    assert caught.value is error
