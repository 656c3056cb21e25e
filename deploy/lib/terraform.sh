# shellcheck shell=bash
# Terraform, signed in as gcloud is: no second login, no key file. Each project has a data folder, so that one copy of
# Tally can look after several.

# A user's token lives an hour. Terraform gets one with most of it left, again for each command.
access_token() { gcloud config config-helper --min-expiry=45m '--format=value(credential.access_token)'; }

terraform_init() {
    step 'Terraform: prepare'
    in_terraform init -input=false -reconfigure "-backend-config=bucket=$PROJECT-tally-terraform"
}

# `make_plan IMAGE SERVING_IMAGE MORE…`: sets PLAN, the file that apply_plan applies, and PLANNED: none or changes.
# An image that is empty stays unset: what runs it is not made.
make_plan() {
    local image="$1" serving="$2" status=0
    shift 2
    PLAN="$WORK/plan"
    in_terraform plan -input=false -detailed-exitcode "-out=$PLAN" "-var-file=$VARIABLES" \
        "-var=project=$PROJECT" "-var=region=$REGION" \
        ${image:+"-var=image=$image"} ${serving:+"-var=serving_image=$serving"} "$@" || status=$?
    case "$status" in
        0) PLANNED=none ;;
        2) PLANNED=changes ;;
        *) return "$status" ;;
    esac
    # A dry run goes on as if there were something to do.
    if dry_run; then PLANNED=changes; fi
}

# What was shown is what is applied. Where somebody else applied in between, Terraform refuses: the plan is stale.
apply_plan() {
    if [ "$PLANNED" = none ]; then
        say 'Terraform has nothing to change.'
    else
        in_terraform apply -input=false "$PLAN"
    fi
}

read_outputs() {
    in_terraform output -json >"$WORK/outputs.json"
}

# The value of an output; in a dry run, where nothing is known, its name in capitals.
output() {
    if dry_run; then tr '[:lower:]' '[:upper:]' <<<"$1"; else facts output "$1" <"$WORK/outputs.json"; fi
}

# Standard output goes to people, but for `output` and `show`. Errors do too, and tell whether the state was locked.
in_terraform() {
    local status=0 token
    if dry_run; then
        show GOOGLE_OAUTH_ACCESS_TOKEN=TOKEN terraform -chdir=terraform "$@"
        return 0
    fi
    token="$(access_token)" || return
    case "$1" in output | show) exec 3>&1 ;; *) exec 3>&2 ;; esac
    {
        GOOGLE_OAUTH_ACCESS_TOKEN="$token" TF_DATA_DIR="$ROOT/.build/terraform/$PROJECT" TF_IN_AUTOMATION=1 \
            terraform "-chdir=$ROOT/terraform" "$@" 2>&1 1>&3 | tee "$WORK/terraform-errors" >&2
    } || status=$?
    exec 3>&-
    if grep -q 'Error acquiring the state lock' "$WORK/terraform-errors"; then
        say 'Somebody else changes this deployment at the moment: see Who and Created above. Wait, then run this again.'
        say 'Where that one was killed, terraform force-unlock with the ID above ends its lock.'
    fi
    return "$status"
}
