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
make deploy PROJECT=id REGION=region     put this version on Google Cloud, or bring what is there up to it
make plan   PROJECT=id REGION=region     show what deploy would change, up to its question

  PROJECT=id             the Google Cloud project; it needs a billing account
  REGION=europe-west1    where everything runs, for one
  ENVIRONMENT=small      variables of terraform/environments: small (first deploy) or production
  VARS=file.tfvars       variables of your own instead; copy one of terraform/environments
                         without either: what the last deploy used
  BUILD_REGION=global    where the image is built, if new projects may not build in REGION
  YES=1                  do not ask before changing
  DRY_RUN=1              print every command, as for a first deploy; run none, ask nobody

What happens, in this order. Old revisions serve until the end, beside the new schema.
  1. check tools, sign-in, billing, permissions; all that is missing is told at once
  2. enable the APIs that Terraform needs; make the bucket for its state
  3. show the plan, ask
  4. build the image, unless the registry has this very one
  5. apply: the job tally-migrate gets the new image, and what it needs; services keep their image and settings
  6. migrate the database; if that fails, nothing else happens
  7. apply the rest: services and the other jobs get it; Cloud Run moves traffic when a revision is ready, else the old one serves on
  8. send events and read their figures; note the release

plan stops after 3 without a question. It makes what 2 makes, which costs nothing, and nothing else.
With nothing to do, deploy changes nothing. After an interruption or a failure, run it again: it goes on.
TEXT
}

mode=deploy
if [ "${1:-}" = plan ]; then
    mode=plan
    shift
fi
options 'PROJECT REGION ENVIRONMENT VARS BUILD_REGION YES DRY_RUN' "$@"
needs_project
[ -n "$REGION" ] || usage_error 'give REGION=… , such as europe-west1'

if dry_run; then
    say 'Dry run: what a first deploy runs. TOKEN is what gcloud config config-helper answers.'
fi

preflight
enable_apis
check_region
make_bucket
choose_variables
terraform_init
read_outputs

deployed_region="$(output region)"
if ! dry_run && [ "${deployed_region:-$REGION}" != "$REGION" ]; then
    die "Tally runs in $deployed_region in this project, and does not move: REGION=$deployed_region"
fi
serving=''
running=''
if ! dry_run; then
    serving="$(output serving_image)"
    running="$(output image)"
fi
stage_context
tag="$(image_tag)"
image="$REGION-docker.pkg.dev/$PROJECT/tally/tally:$tag"
standing="$(releases)"

# The registry is Terraform's too: the first time it has to be made before there is an image, and what runs the image
# comes after.
step 'Terraform: plan'
if [ -z "$running" ]; then
    make_plan '' ''
else
    make_plan "$image" "$image"
fi

if [ "$PLANNED" = none ] && [ "$running" = "$image" ] && [ "$serving" = "$image" ] &&
    [ "$(tail -n 1 <<<"$standing")" = "$tag" ]; then
    say "Nothing to do: $PROJECT runs $tag, and Terraform has nothing to change."
    exit 0
fi
if [ "$mode" = plan ]; then
    say "Image: $image"
    if [ -z "$running" ]; then say 'Not in this plan, since it waits for that image: services and jobs.'; fi
    exit 0
fi
confirm "Deploy $tag to $PROJECT ($CHOICE)?"
keep_variables

if [ -z "$running" ]; then
    step 'Terraform: apply everything that needs no image'
    apply_plan
    read_outputs
fi
build_image "$image" "$running"
step 'Terraform: the job tally-migrate gets the new image'
# Nothing else: the image that serves would not start with a setting, or as a function, which only the new one knows.
make_plan "$image" "$serving" ${running:+-target=module.migrate}
apply_plan
migrate

step 'Terraform: services and the other jobs get the new image'
applied=yes
make_plan "$image" "$image"
apply_plan || applied=no
step 'Check that the new revisions serve'
if ! check_services || [ "$applied" = no ]; then
    if [ -n "$serving" ]; then
        say 'Traffic stays with what served before. make rollback sets back what Terraform wants, too.'
    fi
    die 'The services did not all take the new image; see above. Mend it, then make deploy again.'
fi
read_outputs
deployed_urls
address="$(output load_balancer_ip)"
if [ -n "$address" ] && ! dry_run; then say "An A record has to send the domain of $URL to $address."; fi
smoke_token
if ! smoke "$URL" "$QUERY_URL"; then
    if [ -n "$standing" ]; then say 'The new revisions serve. make rollback goes back to the release before.'; fi
    die 'The smoke test failed; see above. The release was not noted.'
fi
if [ -z "$standing" ]; then
    step 'Register the first token, with scope admin'
    make_token 'first admin' admin '' ''
fi
note_release deploy "$tag"
sum_up "Deployed $tag. Send events to $URL, ask $QUERY_URL for figures, manage at $ADMIN_URL; docs/api.md says how."
if [ -z "$standing" ] && ! dry_run; then
    say 'The admin token, shown this once; only its SHA-256 is stored. make token makes others.'
    printf '%s\n' "$SECRET"
fi
