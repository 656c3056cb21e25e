"""System D's log endpoint as teams write it with an ORM: synchronous, one session and one commit a request.

The call is added, its token is looked up by its hash and marked as used. Everything is as it comes by default, but for
the access log, which is off. For lists of calls there are two ways: the same work for each call (`/each`), and the
fastest that an ORM has, which leaves the tokens alone (`/batch`).
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.naive.models import Base, Token, TokenUsageLog


class UsageLog(BaseModel):
    token_hash: str
    route: str
    timestamp: datetime
    response_status: int | None = None
    response_time_ms: float | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    request_method: str | None = None
    error_message: str | None = None

    def to_row(self) -> TokenUsageLog:
        return TokenUsageLog(
            token_hash=self.token_hash,
            route_path=self.route,
            used_at=self.timestamp,
            response_status=self.response_status,
            response_time_ms=self.response_time_ms,
            ip_address=self.ip_address,
            user_agent=self.user_agent,
            request_method=self.request_method,
            error_message=self.error_message,
        )


def _session(request: Request) -> Iterator[Session]:
    with request.app.state.sessions() as session:
        yield session


Database = Annotated[Session, Depends(_session)]


def create_app() -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_engine(os.environ["NAIVE_DATABASE_URL"])
        Base.metadata.create_all(engine)
        app.state.sessions = sessionmaker(engine)
        yield
        engine.dispose()

    app = FastAPI(lifespan=lifespan)

    def store(session: Session, log: UsageLog) -> None:
        session.add(log.to_row())
        token = session.scalars(select(Token).where(Token.token_hash == log.token_hash)).one_or_none()
        if token is not None:
            token.last_used = datetime.now(UTC)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/usage-log")
    def log_usage(log: UsageLog, session: Database) -> dict[str, str]:
        store(session, log)
        session.commit()
        return {"status": "logged"}

    @app.post("/api/usage-log/each")
    def log_each_usage(logs: list[UsageLog], session: Database) -> dict[str, int]:
        # Sorted, or requests that name the same tokens in another order would deadlock.
        for log in sorted(logs, key=lambda log: log.token_hash):
            store(session, log)
        session.commit()
        return {"logged": len(logs)}

    @app.post("/api/usage-log/batch")
    def log_usages(logs: list[UsageLog], session: Database) -> dict[str, int]:
        session.add_all([log.to_row() for log in logs])
        session.commit()
        return {"logged": len(logs)}

    return app
