"""Poisoned and altered files run no code and are not accepted."""

import builtins
import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skops.io
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidProtobuf
from safetensors.torch import save_file
from skops.io.exceptions import UntrustedTypesFoundException

from skcnn import CNNFeatureTransformer
from skcnn.backbones import WeightsError, load_backbone
from skcnn.modules import CIFARResNet

SAVED = Path(__file__).parent / "saved"
TRUSTED = skops.io.get_untrusted_types(file=SAVED / "classifier_0.1.0.skops")


class Bomb:
    """Creates a file, in one of several ways, when its pickle is loaded."""

    def __init__(self, way, target):
        self.call = {
            "system": (os.system, (f"touch {target}",)),
            "popen": (os.popen, (f"touch {target}",)),
            "subprocess": (subprocess.call, (["touch", str(target)],)),
            "open": (open, (str(target), "w")),
            "exec": (builtins.exec, (f"open({str(target)!r}, 'w')",)),
            "eval": (builtins.eval, (f"open({str(target)!r}, 'w')",)),
            "write_text": (Path.write_text, (target, "")),
            "mkdir": (os.mkdir, (str(target),)),
        }[way]

    def __reduce__(self):
        return self.call


WAYS = ["system", "popen", "subprocess", "open", "exec", "eval", "write_text", "mkdir"]
SAVERS = {"pickle": lambda bomb, file: pickle.dump({"conv1.weight": bomb}, file)}
SAVERS["zip"] = lambda bomb, file: torch.save({"conv1.weight": bomb}, file)


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("way", WAYS)
def test_code_in_a_weights_file_is_not_run(way, saver, tmp_path):
    target, path = tmp_path / "target", tmp_path / "weights.pt"
    with open(path, "wb") as file:
        SAVERS[saver](Bomb(way, target), file)
    with pytest.raises(WeightsError, match="without running code"):
        load_backbone("resnet20", weights=path)
    assert not target.exists()


def state_dict(seed):
    torch.manual_seed(seed)
    return CIFARResNet((3, 32, 32), 10).state_dict()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
def test_a_weights_file_that_is_cut_short_is_refused(share, suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    save_file(state_dict(0), path) if suffix != "pt" else torch.save(
        state_dict(0), path
    )
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError):
        load_backbone("resnet20", weights=path)


@pytest.mark.parametrize("change", ["longer header", "longer tensor"])
def test_a_safetensors_file_that_promises_more_than_it_holds_is_refused(
    change, tmp_path
):
    path = tmp_path / "weights.safetensors"
    save_file(state_dict(0), path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if change == "longer tensor":
        last = max(header.values(), key=lambda entry: entry["data_offsets"][1])
        last["data_offsets"][1] += 4096
    text = json.dumps(header).encode()
    promised = len(text) + (1 << 40 if change == "longer header" else 0)
    path.write_bytes(promised.to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(WeightsError):
        load_backbone("resnet20", weights=path)


@pytest.mark.parametrize("is_pickled", [False, True])
@pytest.mark.parametrize("change", ["other weights", "one bit", "nothing"])
def test_weights_swapped_behind_a_reference_are_refused(change, is_pickled, tmp_path):
    X = np.zeros((2, 32, 32, 3), np.uint8)
    path = tmp_path / "weights.safetensors"
    save_file(state_dict(0), path)
    transformer = CNNFeatureTransformer("resnet20", weights=str(path)).fit(X)
    if change == "other weights":
        save_file(state_dict(1), path)
    elif change == "one bit":
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    if is_pickled:
        transformer = pickle.loads(pickle.dumps(transformer))
    if change == "nothing":  # the test itself can tell
        assert transformer.transform(X).shape == (2, 64)
        return
    with pytest.raises(WeightsError, match="has changed since fit"):
        transformer.transform(X)


FOREIGN = ["os.system", "builtins.exec", "subprocess.Popen", "posix.system"]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_type_in_a_skops_file_is_not_constructed(foreign, tmp_path):
    path = altered(tmp_path, lambda schema: exchange(schema, "Layout", foreign))
    with pytest.raises(UntrustedTypesFoundException, match=foreign):
        skops.io.load(path, trusted=TRUSTED)


def exchange(node, name, foreign):
    """Name another class wherever one is named."""
    if isinstance(node, dict):
        if node.get("__class__") == name:
            module, _, node["__class__"] = foreign.rpartition(".")
            node["__module__"] = module
        for value in node.values():
            exchange(value, name, foreign)
    elif isinstance(node, list):
        for value in node:
            exchange(value, name, foreign)


def altered(folder, change_schema=lambda schema: None, change_array=None):
    """Return the path of the saved classifier with another content."""
    path = folder / "altered.skops"
    with (
        zipfile.ZipFile(SAVED / "classifier_0.1.0.skops") as old,
        zipfile.ZipFile(path, "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                change_schema(schema)
                data = json.dumps(schema).encode()
            elif change_array is not None:
                array = change_array(np.load(io.BytesIO(data)))
                file = io.BytesIO()
                np.save(file, array)
                data = file.getvalue()
            new.writestr(name, data)
    return path


def test_arrays_of_another_shape_are_refused(tmp_path):
    path = altered(tmp_path, change_array=lambda a: a[:1] if a.ndim == 4 else a)
    with pytest.raises(ValueError, match="do not fit the network"):
        skops.io.load(path, trusted=TRUSTED)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_skops_file_that_is_cut_short_is_refused(share, tmp_path):
    path = tmp_path / "cut.skops"
    shutil.copy(SAVED / "classifier_0.1.0.skops", path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(zipfile.BadZipFile):
        skops.io.load(path, trusted=TRUSTED)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_an_onnx_file_that_is_cut_short_is_refused(share):
    data = (SAVED / "classifier_0.1.0.onnx").read_bytes()
    onnxruntime.InferenceSession(data)  # as it is, it is read
    with pytest.raises((Fail, InvalidProtobuf)):
        onnxruntime.InferenceSession(data[: int(share * len(data))])
