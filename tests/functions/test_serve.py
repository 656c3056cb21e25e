"""What becomes of a function between its start and its end: Cloud Run asks for both whenever it likes."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import psutil
import psycopg
import pytest

from tally.local.ports import HOST, free_port
from tests.support.functions import Function, Functions, PushMessage
from tests.support.postgres import rows, scalar
from tests.support.waiting import eventually

CLOUD_RUN_WAITS = 10  # seconds from SIGTERM to SIGKILL


def refuses(function: Function) -> bool:
    """Whether it takes no connection any more."""
    try:
        httpx.get(f"{function.url}/health/live")
    except httpx.TransportError as error:
        return isinstance(error, httpx.ConnectError)  # others: it was taken before the end, and dropped
    return False


def push(record: Function) -> int:
    body, headers = PushMessage(str(uuid.uuid4()), datetime.now(UTC), b'{"id": "1", "route": "/"}', {}).wrapped()
    return record.post("/push", None, content=body, headers=headers).status_code


def test_a_push_that_is_under_way_when_record_is_ended_is_answered_once_it_is_committed(
    functions: Functions, database_url: str
) -> None:
    record = functions.start("record", database_url)
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor() as threads:
        holder.execute("LOCK TABLE usage_events IN SHARE MODE")
        answer = threads.submit(push, record)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        eventually(lambda: scalar(database_url, waiting), "the push that waits for the lock")
        os.kill(record.pid, signal.SIGTERM)
        eventually(lambda: refuses(record), "the end of new connections")
        assert not answer.done()
        holder.rollback()
        assert answer.result() == 204
    eventually(lambda: not record.running, "the end of record", seconds=CLOUD_RUN_WAITS)
    assert rows(database_url, "SELECT id FROM usage_events") == [("1",)]


@pytest.mark.parametrize("function", ["ingest", "record", "query", "admin"])
def test_a_function_that_has_nothing_to_do_ends_in_the_time_that_it_has(
    functions: Functions, database_url: str, function: str
) -> None:
    started = functions.start(function, database_url, record_url=f"http://{HOST}:{free_port()}")
    [worker] = psutil.Process(started.pid).children()
    os.kill(started.pid, signal.SIGTERM)
    eventually(lambda: not started.running, f"the end of {function}", seconds=CLOUD_RUN_WAITS)
    assert not worker.is_running()


def test_ingest_has_loaded_what_publishes_before_it_says_that_it_is_ready(
    functions: Functions, database_url: str
) -> None:
    nowhere = f"{HOST}:{free_port()}"
    ingest = functions.start("ingest", database_url, topic="projects/p/topics/t", PUBSUB_EMULATOR_HOST=nowhere)
    assert ingest.get("/health/ready", None).status_code == 200
    [worker] = psutil.Process(ingest.pid).children()
    assert [one.path for one in worker.memory_maps() if "grpc" in one.path]
