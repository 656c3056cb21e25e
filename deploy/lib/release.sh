# shellcheck shell=bash
# Releases, noted one object each in the state bucket: notes are only ever added, and two at once cannot lose one.

# `note_release deploy|rollback TAG`
note_release() {
    step "Note the release $2"
    : >"$WORK/note"
    change gcloud storage cp "$WORK/note" "$(bucket)/releases/$(facts stamp)_$1_$2"
}

# The tags that stand, oldest first.
releases() {
    ask_if_there '' 'matched no objects' gcloud storage ls "$(bucket)/releases/" | facts stack
}
