# shellcheck shell=bash
# What has to be there before anything is changed. All that is missing is told at once, each with its remedy.

TERRAFORM_AT_LEAST=1.9.0
PYTHON_AT_LEAST='3, 11'
PROBLEMS=0

problem() { # what is wrong, what to do about it
    PROBLEMS=$((PROBLEMS + 1))
    printf '  %s. %s\n     -> %s\n' "$PROBLEMS" "$1" "$2" >>"$WORK/problems"
}

# What a first deploy needs.
preflight() {
    step 'Check what a deploy needs'
    check_tools
    check_region_name
    if command -v gcloud >/dev/null && check_account && check_project; then
        check_billing
        if good_python; then check_permissions; fi
    fi
    tell_problems
}

# What the commands need that work on a deployment.
check_signed_in() {
    step 'Check tools and sign-in'
    check_tools
    if command -v gcloud >/dev/null && check_account; then check_project || true; fi
    tell_problems
}

tell_problems() {
    if [ "$PROBLEMS" -gt 0 ]; then
        STEP=''
        say "Nothing was changed. $PROBLEMS to put right first:"
        cat "$WORK/problems" >&2
        exit 1
    fi
}

check_tools() {
    local version
    command -v gcloud >/dev/null ||
        problem 'gcloud (Google Cloud SDK) is not installed.' 'https://cloud.google.com/sdk/docs/install'
    command -v curl >/dev/null || problem 'curl is not installed.' 'apt install curl, or brew install curl'
    if ! good_python; then
        problem "Python ${PYTHON_AT_LEAST/, /.} or newer is needed; $PYTHON is not." 'https://www.python.org/downloads/'
    fi
    command -v "${TALLY%% *}" >/dev/null ||
        problem "$TALLY, which runs the smoke test, is not installed." 'make deploy installs it; or set TALLY'
    if ! command -v terraform >/dev/null; then
        problem "terraform is not installed ($TERRAFORM_AT_LEAST or newer)." \
            'https://developer.hashicorp.com/terraform/install'
    elif ! good_python; then
        return # it reads the answers
    elif version="$(terraform version -json | facts terraform-is-at-least "$TERRAFORM_AT_LEAST")" 2>/dev/null; then
        case "$version" in
            *' no') problem "terraform $TERRAFORM_AT_LEAST or newer is needed; ${version% no} is installed." \
                'https://developer.hashicorp.com/terraform/install' ;;
        esac
    else
        problem 'terraform does not tell its version.' 'terraform version -json'
    fi
}

good_python() { "$PYTHON" -c "import sys; sys.exit(sys.version_info < ($PYTHON_AT_LEAST))" 2>/dev/null; }

# Which regions exist is asked once Cloud Run's API is enabled; this catches zones and multi-regions before.
check_region_name() {
    [[ "$REGION" =~ ^[a-z]+-[a-z]+[0-9]+$ ]] ||
        problem "'$REGION' is no region." 'REGION=europe-west1, for one; https://cloud.google.com/run/docs/locations'
}

check_account() {
    ACCOUNT="$(ask '(your account)' gcloud auth list '--filter=status:ACTIVE' '--format=value(account)')" || ACCOUNT=''
    if [ -z "$ACCOUNT" ]; then
        problem 'Nobody is signed in to gcloud.' 'gcloud auth login'
        return 1
    fi
}

check_project() {
    local state
    if ! state="$(ask ACTIVE gcloud projects describe "$PROJECT" '--format=value(lifecycleState)' 2>"$WORK/why")"; then
        problem "There is no project $PROJECT that $ACCOUNT may see." \
            "gcloud projects list, or gcloud projects create $PROJECT; gcloud said: $(one_line "$WORK/why")"
        return 1
    fi
    if dry_run; then cat "$WORK/why" >&2; fi
    if [ "$state" != ACTIVE ]; then
        problem "The project $PROJECT is not active: $state." "gcloud projects undelete $PROJECT"
        return 1
    fi
}

check_billing() {
    local enabled
    if ! enabled="$(ask True gcloud billing projects describe "$PROJECT" '--format=value(billingEnabled)' \
        2>"$WORK/why")"; then
        problem "Whether $PROJECT has billing could not be asked: $(one_line "$WORK/why")" \
            "gcloud billing projects describe $PROJECT"
        return
    fi
    if dry_run; then cat "$WORK/why" >&2; fi
    [ "$enabled" = True ] || problem "$PROJECT has no billing account." \
        "gcloud billing accounts list, then gcloud billing projects link $PROJECT --billing-account=ACCOUNT_ID"
}

check_permissions() {
    local list="$ROOT/deploy/permissions.txt" member missing roles='' names='' permission role
    facts permissions "$list" >"$WORK/question"
    missing="$(as_the_caller curl --silent --show-error --max-time 30 \
        --header 'Content-Type: application/json' --data "@$WORK/question" \
        "https://cloudresourcemanager.googleapis.com/v1/projects/$PROJECT:testIamPermissions" |
        facts missing-permissions "$list")" || missing='! the question got no answer'
    case "$missing" in
        '') return ;;
        '! '*)
            problem "What $ACCOUNT may do in $PROJECT could not be asked: ${missing#! }" \
                "where its API is off: gcloud services enable cloudresourcemanager.googleapis.com --project=$PROJECT"
            return
            ;;
    esac
    while read -r permission role; do
        names="$names
       $permission"
        case "$roles" in *"$role"*) ;; *) roles="$roles $role" ;; esac
    done <<<"$missing"
    member="user:$ACCOUNT"
    case "$ACCOUNT" in *.gserviceaccount.com) member="serviceAccount:$ACCOUNT" ;; esac
    problem "$ACCOUNT lacks in $PROJECT:$names" "for each ROLE of$roles:
        gcloud projects add-iam-policy-binding $PROJECT --member=$member --condition=None --role=ROLE"
}

# Runs curl with the caller's token, which goes in by standard input: a command line can be read by others.
# A dry run answers that all is granted.
as_the_caller() {
    if dry_run; then
        show "$@" --config -
        cat "$WORK/question"
        return
    fi
    local token
    token="$(access_token)" || return
    printf 'header = "Authorization: Bearer %s"\n' "$token" | "$@" --config -
}

one_line() { tr '\n' ' ' <"$1" | cut -c 1-300; }
