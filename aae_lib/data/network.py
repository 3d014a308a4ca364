"""Downloads that end: whatever a mirror or a name server does, no call waits for longer than a limit."""

import functools
import http.client
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, as_completed
from contextlib import suppress

from aae_lib.errors import DataError

PROBE_SECONDS = 8.0  # the longest wait for an answer from a mirror
STALL_SECONDS = 30.0  # a download in which nothing arrives for this long has failed
DOWNLOAD_SECONDS = 3600.0  # the longest download

logger = logging.getLogger("aae_lib")


@functools.cache  # without a network, only the first call of a process waits
def answering(mirrors: tuple[str, ...], file: str) -> tuple[str, ...]:
    """The mirrors, with the one in front that was first to offer the file; none if none does in ``PROBE_SECONDS``."""
    asked = {_in_background(functools.partial(_offers, mirror + file)): mirror for mirror in mirrors}
    with suppress(TimeoutError):
        for answer in as_completed(asked, timeout=PROBE_SECONDS):
            if answer.result():
                return tuple(sorted(mirrors, key=lambda mirror: mirror != asked[answer]))
    logger.info("no answer from %s", " or ".join(mirrors))
    return ()


def download(work: Callable[[], object], what: str, remedy: str) -> object:
    """What ``work`` returns; a DataError if it fails, or a mirror that is silent or very slow keeps it waiting."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        return _in_background(work).result(timeout=DOWNLOAD_SECONDS)
    except (RuntimeError, OSError, http.client.HTTPException, AssertionError, EOFError) as error:
        found = f"'{str(error) or type(error).__name__}'"
        raise DataError(f"expected to read or download {what}, found {found}. {remedy}") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _in_background(work: Callable[[], object]) -> Future:
    """Start ``work`` in a thread that a process leaves behind if it hangs: looking up a name heeds no timeout."""
    future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised by whoever waits for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _offers(address: str) -> bool:
    """Whether there is a file at the address, and not the page of a network that asks for a login first."""
    from torchvision.datasets.utils import USER_AGENT

    request = urllib.request.Request(address, headers={"User-Agent": USER_AGENT})
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:
            return response.headers.get_content_type() != "text/html"
    except (OSError, http.client.HTTPException):
        return False
