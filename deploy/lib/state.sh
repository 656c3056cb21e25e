# shellcheck shell=bash
# What Terraform needs before it can run: a few APIs, and a bucket for its state. Releases are noted there too, and the
# variables that were deployed, so that a rollback applies the same ones from any machine.

# Without these Terraform can neither enable the other APIs nor keep its state; and Cloud Run is asked for its regions.
BOOTSTRAP_APIS='cloudresourcemanager iam run serviceusage storage'

bucket() { printf 'gs://%s-tally-terraform' "$PROJECT"; }

enable_apis() {
    local api enabled missing=''
    step 'Enable the APIs that Terraform itself needs'
    enabled="$(ask '' gcloud services list --enabled "--project=$PROJECT" '--format=value(config.name)')"
    for api in $BOOTSTRAP_APIS; do
        grep -q -x "$api.googleapis.com" <<<"$enabled" || missing="$missing $api.googleapis.com"
    done
    # shellcheck disable=SC2086 # a list
    if [ -n "$missing" ]; then change gcloud services enable $missing "--project=$PROJECT"; fi
}

check_region() {
    local regions
    regions="$(ask "$REGION" gcloud run regions list "--project=$PROJECT" '--format=value(locationId)')"
    grep -q -x -e "$REGION" <<<"$regions" || die "Cloud Run has no region $REGION; it has: $(tr '\n' ' ' <<<"$regions")"
}

# Looked for among the project's own buckets: a bucket of this name in somebody else's project would get our state.
find_bucket() {
    ask '' gcloud storage buckets list "--project=$PROJECT" "--filter=name=$PROJECT-tally-terraform" \
        '--format=value(name,versioning_enabled)'
}

make_bucket() {
    local found
    step "State bucket $(bucket)"
    found="$(find_bucket)"
    if [ -z "$found" ]; then
        change gcloud storage buckets create "$(bucket)" "--project=$PROJECT" "--location=$REGION" \
            --uniform-bucket-level-access --public-access-prevention
    fi
    case "$found" in
        *True) ;;
        *) change gcloud storage buckets update "$(bucket)" --versioning ;;
    esac
}

# For all that works on what is deployed.
needs_bucket() {
    if dry_run; then
        find_bucket >/dev/null
        return
    fi
    [ -n "$(find_bucket)" ] || die "Tally is not deployed in $PROJECT: there is no bucket $(bucket)."
}

# What is deployed: sets REGION and what `output` reads.
open_deployment() {
    needs_bucket
    terraform_init
    read_outputs
    REGION="$(output region)"
    [ -n "$REGION" ] || die "Tally is not deployed in $PROJECT, or not to its end: make deploy goes on."
}

# Sets VARIABLES, the file, from VARS or ENVIRONMENT, else as they were at the last deploy, else small.
choose_variables() {
    local kept="$WORK/kept.tfvars" last=''
    fetch_variables "$kept"
    if [ -z "$VARS$ENVIRONMENT" ] && [ -s "$kept" ]; then
        last="$(head -n 1 "$kept")"
        case "$last" in
            '# ENVIRONMENT='*) ENVIRONMENT="${last#\# ENVIRONMENT=}" ;;
            '# VARS='*) VARS="${last#\# VARS=}" ;;
        esac
        say "Variables as at the last deploy: ${last#\# }"
    fi
    if [ -n "$VARS" ] && [ -n "$ENVIRONMENT" ]; then usage_error 'give VARS or ENVIRONMENT, not both'; fi
    if [ -n "$VARS" ]; then
        CHOICE="VARS=$VARS"
        VARIABLES="$VARS"
    else
        CHOICE="ENVIRONMENT=${ENVIRONMENT:-small}"
        VARIABLES="$ROOT/terraform/environments/${ENVIRONMENT:-small}.tfvars"
    fi
    [ -r "$VARIABLES" ] || die "there is no file $VARIABLES ($CHOICE)"
    VARIABLES="$(cd "$(dirname "$VARIABLES")" && pwd -P)/$(basename "$VARIABLES")"
}

# Sets VARIABLES to the very ones that were deployed: what else changed since is left alone.
deployed_variables() {
    VARIABLES="$WORK/deployed.tfvars"
    fetch_variables "$VARIABLES"
    if dry_run; then return; fi
    [ -s "$VARIABLES" ] || die "there is no $(bucket)/variables.tfvars: nothing was deployed in $PROJECT"
}

fetch_variables() {
    ask_if_there '' 'matched no objects\|not found' gcloud storage cat "$(bucket)/variables.tfvars" >"$1"
}

keep_variables() {
    { printf '# %s\n' "$CHOICE" && cat "$VARIABLES"; } >"$WORK/variables.tfvars"
    change gcloud storage cp "$WORK/variables.tfvars" "$(bucket)/variables.tfvars"
}
