#!/usr/bin/env bash
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib/run.sh"
. "$here/lib/options.sh"
. "$here/lib/cloudrun.sh"

usage() {
    cat <<'TEXT'
make logs PROJECT=id     what the functions logged, oldest first, at most the newest 1000 lines

  PROJECT=id         the Google Cloud project
  FUNCTION=record    of one of them only: ingest, record, query, admin, migrate, rollup or command
  SINCE=1h           how far back: 30m, 6h, 2d
  DRY_RUN=1          print the command; run none
TEXT
}

options 'PROJECT FUNCTION SINCE DRY_RUN' "$@"
needs_project
SINCE="${SINCE:-1h}"
[[ "$SINCE" =~ ^[0-9]+[smhd]$ ]] || usage_error "SINCE is a number with s, m, h or d, such as 30m; not '$SINCE'"

case "$FUNCTION" in
    ingest | record | query | admin) filter="$(logged_by cloud_run_revision service_name "tally-$FUNCTION")" ;;
    migrate | rollup | command) filter="$(logged_by cloud_run_job job_name "tally-$FUNCTION")" ;;
    '') filter='resource.labels.service_name:"tally-" OR resource.labels.job_name:"tally-"' ;;
    *) usage_error "there is no function '$FUNCTION'; there are ingest, record, query, admin, migrate, rollup, command" ;;
esac
read_logs "$filter" "$SINCE" 1000
