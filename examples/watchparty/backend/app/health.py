"""Asks the service in this container for its health: `python -m app.health`."""

import sys
import urllib.request

if __name__ == "__main__":
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=2) as answer:
            print(answer.read().decode())
    except OSError as error:
        sys.exit(f"not healthy: {error}")
