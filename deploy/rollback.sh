#!/usr/bin/env bash
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
. "$here/lib/run.sh"
. "$here/lib/options.sh"
. "$here/lib/preflight.sh"
. "$here/lib/state.sh"
. "$here/lib/terraform.sh"
. "$here/lib/image.sh"
. "$here/lib/cloudrun.sh"
. "$here/lib/release.sh"
. "$here/lib/token.sh"
. "$here/lib/smoke.sh"

usage() {
    cat <<'TEXT'
make rollback PROJECT=id     run the release before

  PROJECT=id       the Google Cloud project
  TO=tag           go back to this image instead; the registry lists what there is:
                   gcloud artifacts docker tags list REGION-docker.pkg.dev/PROJECT/tally/tally
  YES=1            do not ask before changing
  DRY_RUN=1        print every command; run none

Only the image changes: all other variables are those of the last deploy, whatever the files in this folder say now.
The database keeps its schema. A migration only adds what older code can live with, and says back to which migration
older code works: a release older than that gets no traffic, because its startup probe fails.

Again takes one further back. make deploy comes forward again. After a deploy whose services did not start, this sets
back what Terraform wants; the old revisions served all the time.
TEXT
}

options 'PROJECT TO YES DRY_RUN' "$@"
needs_project

check_signed_in
open_deployment
deployed_variables
running="$(output image)"
serving="$(output serving_image)"
standing="$(releases)"
if dry_run; then standing='TAG_BEFORE'; fi

newest="$(tail -n 1 <<<"$standing")"
tag="$TO"
if [ -z "$tag" ] && [ "${serving##*:}" != "$newest" ]; then
    tag="$newest" # the last deploy did not get to its end: this is what serves
elif [ -z "$tag" ]; then
    tag="$(tail -n 2 <<<"$standing" | sed '$d')"
fi
[ -n "$tag" ] || die "There is no release before this one in $PROJECT. TO=tag goes to any image of the registry."
image="$REGION-docker.pkg.dev/$PROJECT/tally/tally:$tag"
[ "$serving" != "$image" ] || die "The services run $tag already."
digest="$(image_digest "$image")"
if [ -z "$digest" ] && ! dry_run; then die "The registry has no image $image."; fi

step 'Terraform: plan'
make_plan "$running" "$image"
confirm "Take the services of $PROJECT back from ${serving##*:} to $tag? The database keeps its schema."
step "Terraform: services get the image $tag"
apply_plan || say 'Terraform did not get to its end; see above.'
step 'Check that the revisions serve'
check_services || die "The services did not all take $tag; see above. Traffic stays with what served before."
deployed_urls
smoke_token
smoke "$URL" "$QUERY_URL" || die "The services run $tag, but the smoke test failed; see above."
note_release rollback "$tag"
sum_up "Rolled back to $tag. The database keeps its schema, and the job tally-migrate the newest image."
