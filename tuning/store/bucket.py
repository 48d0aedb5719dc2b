"""Bucket: a sweep's place behind a URI such as s3://bucket/sweeps/NAME.

The ledger is a sequence of objects, ledger/00000001.jsonl and so on, each put only if it is absent. Two drivers
can therefore never both write number N: the one that comes second knows that it has lost the sweep. A driver
claims a sweep with an object of its own before it reads the others, so nothing is added behind its back. Now and
then it puts all lines so far into one object, digests/00001000.jsonl: a reader then need not ask for thousands.
"""

import configparser
import contextlib
import functools
import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from tuning.errors import StorageError
from tuning.store.folder import numbered_lines
from tuning.store.outage import Outage
from tuning.store.uploads import Uploads

LEDGER = "ledger/"
DIGESTS = "digests/"
DIGEST_NAME = re.compile(rf"{DIGESTS}\d{{8}}\.jsonl")
DIGEST_EVERY = 1000  # objects of the ledger
READERS = 64  # objects that are read at the same time
LAZY_SECONDS = 10.0  # that an event may wait for the next one
CLIENT = {"allow_http": True, "connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=30)}
RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}  # a longer outage is Outage's
AWS_KEYS = {  # of ~/.aws, and as obstore calls them
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
}

Answer = TypeVar("Answer")


def tell(line: str) -> None:
    """On stderr: the live view shows that above its table."""
    print(line, file=sys.stderr, flush=True)


class Bucket:
    """Implements tuning.store.interface.Place. A request waits while the bucket does not answer."""

    def __init__(self, uri: str, say: Callable[[str], None] = tell) -> None:
        """Raises StorageError for a URI that is of no bucket."""
        self._uri = uri
        self._store = open_store(uri)
        self._outage = Outage(uri, say)
        self._uploads = Uploads(self.put)
        self._driver = uuid.uuid4().hex[:12]
        self._next: int | None = None  # the number of the next ledger object, once this driver has claimed the sweep
        self._pending: list[bytes] = []
        self._all: list[bytes] | None = None  # the ledger's objects, once this driver has read it or begun it
        self._appended_at = time.monotonic()
        self._made: set[str] = set()
        self._is_lost = False  # another driver has claimed the sweep: nothing may be written from here

    @property
    def signature(self) -> dict[str, Any]:
        return {"driver": self._driver}

    def where(self, name: str = "") -> str:
        return f"{self._uri}/{name}".rstrip("/")

    def reach(self) -> None:
        """Raises StorageError where the bucket cannot be listed now; does not wait."""
        try:
            next(iter(obstore.list(self._store, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            raise StorageError(short(error)) from None

    # ---- the ledger

    def claim(self, is_new: bool) -> None:
        """Take the sweep over: a driver that had it before fails with its next event. Raises StorageError.

        is_new: the claim must be the ledger's first object.
        """
        self._driver, self._is_lost = uuid.uuid4().hex[:12], False
        self._next = 1 if is_new else len(self.list(LEDGER)) + 1
        claimed = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"event": "claimed", "trial": "", "at": claimed, "host": socket.gethostname(), **self.signature}
        content = json.dumps(event).encode() + b"\n"
        name = _ledger_name(self._next)
        if not self.create(name, content):
            self._next = None
            raise self._taken()
        if self._creates_again(name, content):
            self._next = None
            raise StorageError(
                f"{self._uri}: its server ignores conditional writes (If-None-Match), without which two drivers "
                "could both run the sweep; allowed: a server that has them, or a folder"
            )
        self._next += 1
        self._all = [content] if is_new else None

    def release(self) -> None:
        """Another driver of this process may claim the sweep."""
        self._next = None

    @property
    def has_only_claim(self) -> bool:
        """Whether this driver has claimed no sweep, or a new one and added nothing to it."""
        return self._next in (None, 2)

    def append(self, event: bytes, at_once: bool = True) -> None:
        self._pending.append(event)
        if at_once or time.monotonic() - self._appended_at > LAZY_SECONDS:
            self._put_pending()

    def _put_pending(self) -> None:
        if not self._pending:
            return
        if self._next is None:
            self.claim(is_new=False)
        assert self._next is not None
        content = b"".join(self._pending)
        if not self.create(_ledger_name(self._next), content):
            raise self._taken()
        self._pending.clear()
        self._appended_at = time.monotonic()
        if self._all is not None:
            self._all.append(content)
            if self._next % DIGEST_EVERY == 0:
                self.put_later(f"{DIGESTS}{self._next:08d}.jsonl", b"".join(self._all))
        self._next += 1

    def _taken(self) -> StorageError:
        self._is_lost = True
        return StorageError(f"{self._uri}: another driver has taken this sweep over; this one stops")

    def events(self) -> Iterator[tuple[str, bytes]]:
        names = self.list(LEDGER)
        for number, name in enumerate(names, start=1):
            if name != _ledger_name(number):
                raise StorageError(f"{self.where(_ledger_name(number))}: missing; the ledger goes on to {names[-1]}")
        digest = max(filter(DIGEST_NAME.fullmatch, self.list(DIGESTS)), default="")
        n_digested = int(digest.removeprefix(DIGESTS).removesuffix(".jsonl") or 0)
        read = [digest, *names[n_digested:]] if digest else names
        contents: list[bytes] = []
        for name, content in zip(read, self.get_all(read), strict=True):
            contents.append(content or b"")
            yield from numbered_lines(self.where(name), content)
        if self._next == len(names) + 1:
            self._all = contents

    def lines(self, name: str, so_far: bytes) -> "BucketLines":
        return BucketLines(self, name, so_far)

    # ---- whole objects

    def get(self, name: str) -> bytes | None:
        try:
            return bytes(self._ask(lambda: obstore.get(self._store, name).bytes()))
        except FileNotFoundError:
            return None

    def get_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        return self._in_threads(self.get, names)

    def put(self, name: str, content: bytes) -> None:
        if self._is_lost:
            raise self._taken()
        try:
            self._ask(lambda: obstore.put(self._store, name, content))
        except FileNotFoundError as error:
            raise StorageError(f"{self._uri}: cannot be written ({short(error)})") from None
        self._made.add(name)

    def put_all(self, contents: dict[str, bytes]) -> None:
        """Several objects at the same time."""
        list(self._in_threads(lambda name: self.put(name, contents[name]), list(contents)))

    def put_later(self, name: str, content: bytes) -> None:
        if self._outage.is_given_up:
            return
        self._uploads.add(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Put an object that must not exist yet; False where somebody else's does. `content` is nobody else's:
        it tells a put whose answer was lost, and that was tried again, from the put of another driver."""
        try:
            self._ask(lambda: obstore.put(self._store, name, content, mode="create"))
        except AlreadyExistsError:
            return self.get(name) == content
        except FileNotFoundError as error:
            raise StorageError(f"{self._uri}: cannot be written ({short(error)})") from None
        self._made.add(name)
        return True

    def _creates_again(self, name: str, content: bytes) -> bool:
        with contextlib.suppress(AlreadyExistsError):
            self._ask(lambda: obstore.put(self._store, name, content, mode="create"))
            return True
        return False

    def list(self, prefix: str) -> list[str]:
        def ask() -> list[str]:
            return [found["path"] for chunk in obstore.list(self._store, prefix.rstrip("/")) for found in chunk]

        return sorted(self._ask(ask))

    def delete(self, names: Sequence[str]) -> None:
        if names:
            self._ask(lambda: obstore.delete(self._store, list(names)))

    def delete_made(self) -> None:
        """Remove every object that this process put."""
        self.delete(sorted(self._made))
        self._made.clear()

    def close(self, patient: bool = True) -> None:
        """Not patient: after Ctrl-C nobody wants to wait for a bucket that does not answer. What is missing there is
        made again when the sweep goes on."""
        if self._outage.is_given_up or self._is_lost:
            return
        if not patient:
            self._outage.give_up()
        try:
            if self._next is not None:
                self._put_pending()
            self._uploads.flush()
        except KeyboardInterrupt:
            self._outage.give_up()
            raise
        except StorageError:
            if patient or self._is_lost:
                raise

    def _in_threads(self, ask: Callable[[str], Answer], names: Sequence[str]) -> Iterator[Answer]:
        with ThreadPoolExecutor(READERS) as threads:
            try:
                yield from threads.map(ask, names)
            except KeyboardInterrupt:
                self._outage.give_up()
                raise

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        """The bucket's answer, however long it takes to come. AlreadyExistsError and FileNotFoundError are answers."""
        n_failed = 0
        while True:
            try:
                answer = request()
            except (AlreadyExistsError, FileNotFoundError):
                self._outage.over()
                raise
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise StorageError(f"{self._uri}: access was refused ({short(error)})") from None
            except BaseError as error:
                self._outage.wait(short(error), n_failed)
                n_failed += 1
            else:
                self._outage.over()
                return answer


class BucketLines:
    """Implements tuning.store.interface.Lines: a bucket cannot append, so the object is put anew as a whole."""

    def __init__(self, bucket: Bucket, name: str, so_far: bytes) -> None:
        self._bucket = bucket
        self._name = name
        self._content = bytearray(so_far)

    def append(self, lines: bytes) -> None:
        self._content += lines

    def keep(self) -> None:
        if self._content:
            self._bucket.put(self._name, bytes(self._content))

    def keep_later(self) -> None:
        if self._content:
            self._bucket.put_later(self._name, bytes(self._content))


@dataclass(frozen=True)
class BucketFiles:
    """The files of one trial in a bucket."""

    uri: str
    folder: str

    def read(self, name: str) -> bytes | None:
        return bucket_at(self.uri).get(f"{self.folder}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file or nothing: a bucket shows an object only once it is complete."""
        bucket_at(self.uri).put(f"{self.folder}/{name}", content)


@functools.cache
def bucket_at(uri: str) -> Bucket:
    """This process's own: the driver's claim on a sweep, its uploads and its waiting are shared by all who use it."""
    return Bucket(uri)


def folders_below(uri: str) -> list[str]:
    """The names right below a prefix that have something below themselves."""
    try:
        found = obstore.list_with_delimiter(open_store(uri))
    except (BaseError, OSError):
        return []
    return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])


def open_store(uri: str) -> ObjectStore:
    """Raises StorageError, with no more than the reason, for a URI that is of no bucket."""
    scheme = uri.partition("://")[0]
    if scheme in ("file", "memory", "http", "https"):
        raise StorageError("not a bucket; allowed: s3://, gs://, az://, or a folder")
    settings: dict[str, Any] = _aws_profile() if scheme in ("s3", "s3a") else {}
    try:
        store: ObjectStore = from_url(uri, client_options=CLIENT, retry_config=RETRIES, **settings)  # type: ignore[call-overload]
    except (BaseError, ValueError) as error:
        raise StorageError(short(error)) from None
    return store


def _aws_profile() -> dict[str, str]:
    """Keys and region of ~/.aws, which obstore does not read; {} where the environment has keys."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    name = os.environ.get("AWS_PROFILE", "default")
    own = Path.home() / ".aws"
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", own / "credentials")
    settings = os.environ.get("AWS_CONFIG_FILE", own / "config")
    found = {
        **_section(Path(settings), name if name == "default" else f"profile {name}"),
        **_section(Path(credentials), name),
    }
    return {AWS_KEYS[key]: value for key, value in found.items() if key in AWS_KEYS}


def _section(path: Path, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    with contextlib.suppress(OSError, configparser.Error):
        parser.read(path)
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _ledger_name(number: int) -> str:
    return f"{LEDGER}{number:08d}.jsonl"


def short(error: BaseException) -> str:
    """The reason in an error of obstore's, without the requests and the structures that it prints around it."""
    text = " ".join(str(error).partition("Debug source")[0].split())
    if answered := re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text):
        return f"{answered[1]}: {answered[2]}"[:200]
    return text.rpartition(" - ")[2][:200]
