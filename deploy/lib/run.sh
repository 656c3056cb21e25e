# shellcheck shell=bash
# Speaking, running, stopping. Every script begins with this file. Bash 3.2 is enough, which macOS has.
# What people read goes to standard error, so that standard output holds results only (a token, log lines).

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
PYTHON="${PYTHON:-python3}"
TALLY="${TALLY:-tally}" # a command and its first arguments
STEP='' # what is going on
DONE='' # what was finished before it

# A question of gcloud would wait for an answer behind a pipe; and APIs are enabled by deploy, which says so.
export CLOUDSDK_CORE_DISABLE_PROMPTS=1
export CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API=false

umask 077
WORK="$(mktemp -d "${TMPDIR:-/tmp}/tally-deploy.XXXXXX")"

say() { printf '%s\n' "$*" >&2; }

# A new step; the one before is done.
step() {
    done_with_step
    STEP="$1"
    say "==> $1"
}

done_with_step() {
    if [ -n "$STEP" ]; then DONE="$DONE$STEP; "; fi
    STEP=''
}

die() {
    say "Error: $*"
    exit 1
}

usage_error() {
    say "Error: $*"
    say "$(basename "$0") --help explains."
    exit 2
}

finish() {
    local status=$?
    rm -rf "$WORK"
    if [ "$status" -ne 0 ] && [ -n "$STEP" ]; then
        say "Stopped in the step: $STEP."
        say "Finished before: ${DONE:-nothing}"
    fi
}
trap finish EXIT

# Terraform, gcloud and the functions hold their own locks and clean up after themselves; nothing is undone here.
interrupted() {
    trap '' INT TERM HUP
    say ''
    say 'Interrupted. The same command again goes on from what was reached.'
    exit 130
}
trap interrupted INT TERM HUP

dry_run() { [ "${DRY_RUN:-}" = 1 ]; }

# A command as one could type it in the project's folder.
show() {
    local word line='' here="$ROOT/"
    for word in "$@"; do
        word="${word//$here/}"
        word="${word//$WORK/(temporary)}"
        case "$word" in
            '' | *[!A-Za-z0-9_./:=@%+,-]*) word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        line="$line${line:+ }$word"
    done
    say "    $line"
}

# The last word, where something was done.
sum_up() {
    done_with_step
    if dry_run; then say 'Dry run: nothing was run.'; else say "$@"; fi
}

# Changes the cloud. Its output is for people.
change() {
    if dry_run; then show "$@"; else "$@" >&2; fi
}

# Reads the cloud and prints the answer; a dry run prints what is assumed instead: `ask ASSUMED COMMAND…`.
ask() {
    local assumed="$1"
    shift
    if dry_run; then
        show "$@"
        if [ -n "$assumed" ]; then printf '%s\n' "$assumed"; fi
    else
        "$@"
    fi
}

# As `ask`, for what may not be there: prints nothing then. `ask_if_there ASSUMED WORDS COMMAND…`: WORDS in what the
# command says tell what is not there from what could not be asked.
ask_if_there() {
    local assumed="$1" absent="$2"
    shift 2
    if ask "$assumed" "$@" 2>"$WORK/refusal"; then
        if dry_run; then cat "$WORK/refusal" >&2; fi
        return 0
    fi
    if grep -q -i -e "$absent" "$WORK/refusal"; then return 0; fi
    cat "$WORK/refusal" >&2
    return 1
}

# Whoever runs this has to say yes, here or by YES=1.
confirm() {
    local answer=''
    if dry_run || [ "${YES:-}" = 1 ]; then return 0; fi
    printf '%s [y/N] ' "$1" >&2
    read -r answer || true
    case "$answer" in
        y | Y | yes | Yes) ;;
        *)
            STEP=''
            say 'Nothing was changed.'
            exit 1
            ;;
    esac
}

# Facts out of JSON, and a new secret.
facts() { "$PYTHON" -IS "$ROOT/deploy/lib/facts.py" "$@"; }
