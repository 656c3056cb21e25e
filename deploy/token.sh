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

usage() {
    cat <<'TEXT'
make token PROJECT=id NAME=… SCOPES=ingest,read     make an API token and print its secret, this once

  PROJECT=id             the Google Cloud project
  NAME=shop              what it is for; events sent with it have this as their source
  SCOPES=ingest,read     what it may do: ingest, read, read:all, limits, admin
  ORGANIZATION=acme      bind it to an organization
  EXPIRES=time           when it ends, such as 2030-12-31T00:00:00+03:00
  DRY_RUN=1              print every command; run none, make no secret

The secret is made on this machine and goes to standard output only. The database gets its SHA-256, by the job
tally-command. A secret that was lost cannot be shown again: make another token.
TEXT
}

options 'PROJECT NAME SCOPES ORGANIZATION EXPIRES DRY_RUN' "$@"
needs_project
[ -n "$NAME" ] || usage_error 'give NAME=… , what the token is for'
[ -n "$SCOPES" ] || usage_error 'give SCOPES=… , such as ingest,read'

check_signed_in
open_deployment
step "Register the token $NAME"
make_token "$NAME" "$SCOPES" "$ORGANIZATION" "$EXPIRES"
done_with_step
if dry_run; then exit 0; fi
say "The secret of $NAME, shown this once:"
printf '%s\n' "$SECRET"
