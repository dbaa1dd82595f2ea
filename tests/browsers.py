"""Chromium, and a page's server in a thread, for the tests that drive a page."""

import contextlib
import shutil
import threading

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def launched(*arguments):
    """Starts Chromium until the block ends; skips the test where there is none."""
    from playwright import sync_api

    if not CHROMIUM:
        pytest.skip("chromium is missing: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        yield chromium
        chromium.close()


class Background:
    """An application that is served by a thread."""

    def __init__(self, app, *, lifespan="off"):
        import uvicorn

        from serving.web import server

        config = uvicorn.Config(app, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        listening = server._listen(server.HOST, 0)
        self.address = f"http://localhost:{listening.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
