"""Google's Pub/Sub emulator: found where the Cloud SDK put it, run as a child process, set up for Tally."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tally.local import LocalError
from tally.local.ports import HOST, accepts, free_port
from tally.local.process import ProcessFailed, ServiceProcess

TOPIC = "usage-events"
DEAD_LETTER_TOPIC = "usage-events-dead-letters"
ACK_DEADLINE_SECONDS = 60
MAX_DELIVERY_ATTEMPTS = 10

_PROGRAM = "cloud-pubsub-emulator"
_START_SECONDS = 60.0
_BACKOFF_SECONDS = (1, 60)


class EmulatorMissing(LocalError):
    """The emulator, or the Java that it needs, is not installed."""


def find_emulator() -> Path:
    """The installed emulator.

    Raises:
        EmulatorMissing: It is not there; the message says how to install it.
    """
    if found := shutil.which(_PROGRAM):
        return Path(found)
    for root in _sdk_roots():
        program = root / "platform" / "pubsub-emulator" / "bin" / _PROGRAM
        if program.exists():
            return program
    raise EmulatorMissing(
        "the Pub/Sub emulator is not installed; install it with: gcloud components install pubsub-emulator "
        "(Debian and Ubuntu: apt install google-cloud-cli-pubsub-emulator)"
    )


class PubSubEmulator:
    """The emulator on a loopback port, which it keeps when it is started again. Messages are in memory only.

    Args:
        folder: For its log; made if missing.
        environment: All of its environment, by default that of this process.
    """

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = environment
        self._port = 0
        self._process: ServiceProcess | None = None

    @property
    def host(self) -> str:
        """What PUBSUB_EMULATOR_HOST has to be for clients."""
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running emulator."""
        if self._process is None:
            raise ProcessFailed("the Pub/Sub emulator is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            EmulatorMissing: It is not installed.
            ProcessFailed: It does not start.
        """
        program = find_emulator()
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            raise EmulatorMissing("the Pub/Sub emulator needs Java; install a JRE of version 11 or newer")
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_port()
        self._process = ServiceProcess(
            "pubsub",
            [str(program), f"--host={HOST}", f"--port={self._port}"],
            os.environ if self._environment is None else self._environment,
            self._folder / "pubsub.log",
        )
        self._process.start()
        deadline = time.monotonic() + _START_SECONDS
        while not accepts(self._port):
            if not self._process.running:
                raise self._process.failed("ended while it started")
            if time.monotonic() > deadline:
                raise self._process.failed(f"was not ready within {_START_SECONDS:.0f} s")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; the messages that it holds are gone."""
        if self._process is not None:
            self._process.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def set_up(host: str, project: str, push_url: str, topic: str = TOPIC) -> str:
    """Make Tally's topics and the push subscription to `push_url` in the emulator at `host`.

    They are as Terraform makes them in the cloud. What is there already is kept, and the subscription is
    pointed to `push_url`. Returns the topic's full name.
    """
    with _emulator_host(host):
        return _set_up(project, push_url, topic)


def _set_up(project: str, push_url: str, topic: str) -> str:
    from google.api_core.exceptions import AlreadyExists
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
    from google.protobuf.duration_pb2 import Duration
    from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, RetryPolicy

    publisher = PublisherClient()
    names: list[str] = [publisher.topic_path(project, name) for name in (topic, DEAD_LETTER_TOPIC)]
    for name in names:
        with suppress(AlreadyExists):
            publisher.create_topic(name=name)
    publisher.stop()
    shortest, longest = (Duration(seconds=seconds) for seconds in _BACKOFF_SECONDS)
    push = PushConfig(push_endpoint=push_url)
    with SubscriberClient() as subscriber:
        subscription = subscriber.subscription_path(project, f"{topic}-record")
        try:
            subscriber.create_subscription(
                request={
                    "name": subscription,
                    "topic": names[0],
                    "push_config": push,
                    "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
                    "retry_policy": RetryPolicy(minimum_backoff=shortest, maximum_backoff=longest),
                    "dead_letter_policy": DeadLetterPolicy(
                        dead_letter_topic=names[1], max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
                    ),
                }
            )
        except AlreadyExists:
            subscriber.modify_push_config(subscription=subscription, push_config=push)
        # Without a subscription the dead-letter topic would forget what it is given.
        kept = subscriber.subscription_path(project, DEAD_LETTER_TOPIC)
        with suppress(AlreadyExists):
            subscriber.create_subscription(name=kept, topic=names[1])
    return names[0]


def _sdk_roots() -> Iterator[Path]:
    if root := os.environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(root)
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parents[1]
    yield from (Path("/usr/lib/google-cloud-sdk"), Path.home() / "google-cloud-sdk")


@contextmanager
def _emulator_host(host: str) -> Iterator[None]:
    """The Google client takes the emulator's address from the environment only."""
    name = "PUBSUB_EMULATOR_HOST"
    before = os.environ.get(name)
    os.environ[name] = host
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
