import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch


class Handler(BaseHTTPRequestHandler):
    """Serves `server.content`, or fails in the way that the path names."""

    def do_GET(self):
        self.server.user_agents.append(self.headers["User-Agent"])
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path.startswith("/truncated"):
            self.wfile.write(content[: len(content) // 2])
        elif self.path.startswith("/slow"):
            self.wfile.write(content[:100])
            self.wfile.flush()
            self.server.release.wait(10)
        else:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A local HTTP server; `url`, `content` and `release` are its attributes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.content = bytes(range(256)) * 1000
    server.user_agents = []
    server.release = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """The folder of the weights files, which is not there yet."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"
