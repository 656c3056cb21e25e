#!/usr/bin/env bash
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib/run.sh"
. "$here/lib/options.sh"
. "$here/lib/preflight.sh"
. "$here/lib/state.sh"
. "$here/lib/terraform.sh"

usage() {
    cat <<'TEXT'
make destroy PROJECT=id     remove Tally from the project, with the database, its backups and every event

  PROJECT=id       the Google Cloud project; its name has to be typed in, YES is not taken
  DRY_RUN=1        print every command; run none

What is protected against deletion stops this before anything is removed. To lift the protection, put
  deletion_protection = false
into your variables, run make deploy with them, and make destroy again.

The bucket of the state stays, with the notes of the releases; what to run to remove it is said at the end.
TEXT
}

options 'PROJECT DRY_RUN' "$@"
needs_project

check_signed_in
open_deployment
deployed_variables

step 'Look for what is protected'
if dry_run; then
    in_terraform show -json
    protected=''
else
    protected="$(in_terraform show -json | facts protected)"
fi
if [ -n "$protected" ]; then
    STEP=''
    say "Nothing was removed. Protected against deletion in $PROJECT:"
    say "$protected"
    say 'To lift that: deletion_protection = false in your variables, make deploy with them, then make destroy again.'
    exit 1
fi

step 'Terraform: plan'
make_plan "$(output image)" "$(output serving_image)" -destroy
if ! dry_run; then
    printf 'All of this goes, and every event with it. Type the name of the project to go on: ' >&2
    typed=''
    read -r typed || true
    if [ "$typed" != "$PROJECT" ]; then
        STEP=''
        say "That is not $PROJECT. Nothing was removed."
        exit 1
    fi
fi
step 'Terraform: destroy'
apply_plan
sum_up "Removed. The bucket of the state and of the notes is left: gcloud storage rm --recursive $(bucket)"
