# The one image of Tally: every function and every job. TALLY_FUNCTION says which function a service serves; a job has
# another command.
#
# The same files make the same image. Packages are pinned by their hashes, bytecode holds its source's hash and no time,
# and BuildKit sets the times of files by SOURCE_DATE_EPOCH.
#checkov:skip=CKV_DOCKER_2:Cloud Run asks /health/ready and /health/live itself, and ignores HEALTHCHECK
FROM python:3.11.17-slim-bookworm@sha256:0a310eeecf4e1f5a0743f9a6520c90c88d089c903ca5fd283f501e3a805f5f89 AS python


FROM python AS build

# An environment without pip, which nothing needs that runs. Bytecode that is never compared with its source makes a cold
# start short.
WORKDIR /app
COPY requirements.txt /opt/requirements.txt
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --quiet --disable-pip-version-check install \
        --root-user-action ignore --no-compile --require-hashes --only-binary :all: --requirement /opt/requirements.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

# The command. Not installed as a package: functions and migrations lie beside `shared`, as in a checkout.
RUN printf '#!/opt/venv/bin/python\nfrom tally.cli import main\n\nmain()\n' > /opt/venv/bin/tally \
    && chmod 755 /opt/venv/bin/tally

COPY migrations migrations
COPY functions functions
COPY shared shared
# Whoever it runs as may read it, and only read it, whatever umask the checkout was made with.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app \
    && chmod -R u=rwX,go=rX /app


FROM python

# XDG_RUNTIME_DIR: where gunicorn puts its socket. Nothing else is written.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app/shared \
    PYTHONUNBUFFERED=1 \
    XDG_RUNTIME_DIR=/tmp
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
CMD ["tally", "serve"]
