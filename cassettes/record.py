"""Record the embedded model's site anew: `make record`.

Scans the embedded model (layer 1), writes its site, serves that from this machine and fetches it with the
real fetcher, recording under the host neuroscope.example. The same model gives the same recording.
"""

from __future__ import annotations

import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipeline.config import Config
from pipeline.results import neuroscope_site
from pipeline.run import run
from pipeline.samples.neuroscope import fetch, sites
from pipeline.web import recording


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


def record(cassette: Path, folder: Path) -> int:
    """Record every page of the embedded model's layer 1 into `cassette`; returns how many."""
    samples = run(Config(source="scan", data=str(folder)), until="samples")["samples"]
    n_pages = neuroscope_site.write(samples, folder / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    config = Config(site=address, data=str(folder), rate=1000, connections=1)
    try:
        with recording.recorded(cassette, sites.RECORDED):
            fetch.collect(config)
    finally:
        server.shutdown()
    return n_pages


if __name__ == "__main__":
    out = sites.cassette()
    with tempfile.TemporaryDirectory() as scratch:
        n_recorded = record(out, Path(scratch))
    print(f"{n_recorded} pages, {out.stat().st_size:,} bytes in {out.name}")
