import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from skcnn.backbones import WeightsError, download_weights, find_backbone

CARD = find_backbone("resnet20").cards[0]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def card(server, checkpoints):
    """A card of what the server has, of which 8 digits are published."""
    digits = sha256(server.content)[:8]
    return replace(
        CARD, file_name="net.pth", url=f"{server.url}/net.pth", sha256=digits
    )


def files(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_file_is_downloaded_complete_and_once(card, server, checkpoints):
    path = download_weights(card)
    assert path == checkpoints / "net.pth"
    assert path.read_bytes() == server.content
    assert download_weights(card) == path
    assert server.user_agents == ["torch.hub"]


def test_all_digits_are_written_beside_it(card, server, checkpoints):
    download_weights(card)
    assert files(checkpoints) == ["net.pth", "net.pth.sha256"]
    record = (checkpoints / "net.pth.sha256").read_text()
    assert record == f"{sha256(server.content)}  net.pth\n"


def test_nothing_is_written_beside_it_where_all_digits_are_published(
    card, server, checkpoints
):
    download_weights(replace(card, sha256=sha256(server.content)))
    assert files(checkpoints) == ["net.pth"]


def test_a_folder_in_its_place_is_named(card, server, checkpoints):
    (checkpoints / "net.pth").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"net\.pth is a folder, expected the file"):
        download_weights(card)


def test_a_file_of_torchvision_is_used(card, server, checkpoints):
    checkpoints.mkdir(parents=True)
    (checkpoints / "net.pth").write_bytes(server.content)
    assert download_weights(card) == checkpoints / "net.pth"
    assert server.user_agents == []


def test_a_file_that_is_there_but_wrong_is_an_error(card, server, checkpoints):
    checkpoints.mkdir(parents=True)
    (checkpoints / "net.pth").write_bytes(server.content[:-1])
    with pytest.raises(WeightsError, match=rf"expected {card.sha256}\. .*Delete it"):
        download_weights(card)


def test_a_file_that_is_exchanged_later_is_an_error(card, server, checkpoints):
    unchecked = replace(card, sha256="")
    path = download_weights(unchecked)
    assert download_weights(unchecked) == path
    path.write_bytes(b"exchanged")
    with pytest.raises(WeightsError, match=f"expected {sha256(server.content)}"):
        download_weights(unchecked)


def test_a_read_only_folder_is_fine(card, server, checkpoints, monkeypatch):
    checkpoints.mkdir(parents=True)
    (checkpoints / "net.pth").write_bytes(server.content)

    def refuse(path, text):
        raise PermissionError(path)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert download_weights(card) == checkpoints / "net.pth"


@pytest.mark.parametrize(
    ("route", "reason"), [("truncated", "invalid hash"), ("missing", "404")]
)
def test_a_failure_leaves_nothing_and_says_where_to_put_the_file(
    card, server, checkpoints, route, reason
):
    failing = replace(card, url=f"{server.url}/{route}")
    with pytest.raises(WeightsError) as caught:
        download_weights(failing)
    message = str(caught.value)
    for part in (
        reason,
        failing.url,
        str(checkpoints / "net.pth"),
        card.sha256,
        "weights",
    ):
        assert part in message
    assert files(checkpoints) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/net.pth", "http://a.invalid/net"])
def test_without_a_server_the_error_says_where_to_put_the_file(card, checkpoints, url):
    with pytest.raises(WeightsError, match=r"Put the file at .*net\.pth") as caught:
        download_weights(replace(card, url=url))
    assert isinstance(caught.value.__cause__, OSError)
    assert files(checkpoints) == []


def test_ctrl_c_leaves_nothing(card, checkpoints, monkeypatch):
    def interrupt(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.hub, "tqdm", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download_weights(card)
    assert files(checkpoints) == []


def test_many_at_once_get_the_same_file(card, server, checkpoints):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(download_weights, [card] * 8))
    assert set(paths) == {checkpoints / "net.pth"}
    assert files(checkpoints) == ["net.pth", "net.pth.sha256"]
    assert paths[0].read_bytes() == server.content


@pytest.mark.slow
def test_a_process_killed_in_a_download_leaves_no_file_of_that_name(
    card, server, tmp_path, checkpoints
):
    code = (
        "from dataclasses import replace; from skcnn.backbones import *;"
        "card = find_backbone('resnet20').cards[0];"
        f"card = replace(card, file_name='net.pth', url={server.url + '/slow'!r});"
        "download_weights(card)"
    )
    environment = os.environ | {"TORCH_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        while not list(tmp_path.glob("hub/checkpoints/*.partial")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (checkpoints / "net.pth").exists()
    assert download_weights(card).read_bytes() == server.content


def test_progress_is_printed_on_demand(card, checkpoints, capsys):
    download_weights(card)
    assert capsys.readouterr() == ("", "")
    (checkpoints / "net.pth").unlink()
    download_weights(card, verbose=True)
    assert "250k/250k" in capsys.readouterr().err


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the Hugging Face hub, without network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put_into(hub, content):
    """Put a file into the cache as the hub's own library does; return its blob."""
    repository = hub / "models--timm--net"
    blob = repository / "blobs" / sha256(content)
    snapshot = repository / "snapshots" / "abc" / "model.safetensors"
    for path in (blob, snapshot, repository / "refs" / "main"):
        path.parent.mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    blob.write_bytes(content)
    snapshot.symlink_to(blob)
    return blob


def test_a_file_of_the_hub_is_checked_against_its_name(hub, checkpoints):
    card = replace(CARD, file_name="model.safetensors", sha256="", hub_id="timm/net")
    blob = put_into(hub, b"weights")
    assert download_weights(card).read_bytes() == b"weights"
    assert download_weights(card).resolve() == blob
    blob.write_bytes(b"others")
    with pytest.raises(WeightsError, match=f"expected {blob.name}"):
        download_weights(card)


def test_without_network_the_hub_is_an_error_that_names_the_repository(hub):
    card = replace(CARD, hub_id="timm/net", url="https://hub.invalid/timm/net")
    with pytest.raises(WeightsError, match=r"hub\.invalid/timm/net.*pass its path"):
        download_weights(card)
