"""Starts the studio: `python app.py`."""

import argparse
import logging
import os
import sys

from pipeline.errors import UserError
from studio.settings import Settings, isolate_process, prepare_home


def main() -> None:
    """Read the settings, put the studio together, serve it."""
    parser = argparse.ArgumentParser(description="Lapidary, a fine-tuning studio.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1, or GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, help="port to listen on (default 7860, or GRADIO_SERVER_PORT)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("studio").setLevel(logging.INFO)
    environment = dict(os.environ)
    try:
        settings = Settings.from_environment(os.environ, host=arguments.host, port=arguments.port)
        prepare_home(settings)
        isolate_process(settings, os.environ)
        from studio.application import build_studio, serve

        serve(build_studio(settings, environment))
    except (UserError, OSError) as error:
        sys.exit(f"Lapidary cannot start: {error}")


if __name__ == "__main__":
    main()
