"""What the Python cases share: SQL over HTTP, and checks that name what is wrong."""

import json
import os
import sys
import urllib.error
import urllib.request

URL = os.environ["TIDEMILL_URL"]
PORT = int(os.environ["TIDEMILL_PORT"])


def fail(words):
    """Ends the case with its reason."""
    sys.exit(words)


def rows(statement):
    """The rows of a statement, in JSON's types."""
    request = urllib.request.Request(f"{URL}/api/v1/sql", statement.encode(), {"Content-Type": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)["rows"]
    except urllib.error.HTTPError as error:
        fail(f"{statement}: {error.code} {error.read(300).decode(errors='replace')}")


def want(statement, expected):
    """The statement's rows must be exactly these."""
    got = rows(statement)
    if got != expected:
        fail(f"{statement}: {got} instead of {expected}")
