#!/usr/bin/env bash
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib/run.sh"
. "$here/lib/options.sh"
. "$here/lib/preflight.sh"
. "$here/lib/state.sh"
. "$here/lib/terraform.sh"
. "$here/lib/cloudrun.sh"
. "$here/lib/token.sh"
. "$here/lib/smoke.sh"

usage() {
    cat <<'TEXT'
make smoke PROJECT=id                    send events to a deployment and read their figures
make smoke URL=https://… QUERY_URL=…     the same for any Tally

  PROJECT=id         the Google Cloud project: addresses come from the deployment, and a token is registered that is
                     good for 15 minutes and for the organization tally-smoke only
  URL=https://…      where events are sent; SMOKE_TOKEN in the environment is a token with the scopes ingest and read
  QUERY_URL=https://…   where figures are asked, if elsewhere
  DRY_RUN=1          print every command; run none
TEXT
}

options 'PROJECT URL QUERY_URL DRY_RUN' "$@"
if [ -n "$URL" ]; then
    dry_run || [ -n "${SMOKE_TOKEN:-}" ] || usage_error 'put a token with scopes ingest and read into SMOKE_TOKEN'
    SECRET="${SMOKE_TOKEN:-}"
    smoke "$URL" "${QUERY_URL:-$URL}"
else
    needs_project
    check_signed_in
    open_deployment
    deployed_urls
    smoke_token
    smoke "$URL" "$QUERY_URL"
fi
done_with_step
