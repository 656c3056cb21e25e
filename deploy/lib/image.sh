# shellcheck shell=bash
# The image, known by a hash of what it is made of: the same files have the same tag on any machine, without git.

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# Copies every file that the Dockerfile may copy into a folder of its own: what is hashed is what is uploaded.
# .dockerignore lets in what it names behind "!", and nothing else.
stage_context() {
    local path context="$WORK/context"
    mkdir "$context"
    (
        cd "$ROOT"
        printf '%s\n' Dockerfile .dockerignore
        sed -n 's/^!//p' .dockerignore | while IFS= read -r path; do
            find "${path%/\*\*}" -type f ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -name '*.pyc'
        done
    ) | while IFS= read -r path; do
        mkdir -p "$context/$(dirname "$path")"
        cp -p "$ROOT/$path" "$context/$path"
    done
    chmod -R u=rwX,go=rX "$context" # the image keeps modes; those of this machine's umask do not matter
}

# Names and contents, and which files may be executed. Not times.
image_tag() {
    (
        cd "$WORK/context"
        find . -type f -perm -u=x | LC_ALL=C sort
        find . -type f | LC_ALL=C sort | while IFS= read -r file; do
            printf '%s ' "$file"
            sha256 <"$file"
        done
    ) | sha256 | cut -c 1-16
}

# `image_digest IMAGE`: prints nothing where the registry has none.
image_digest() {
    ask_if_there '' 'image not found' \
        gcloud artifacts docker images describe "$1" '--format=value(image_summary.digest)'
}

# `build_image IMAGE IMAGE_BEFORE`, the second to take unchanged layers from. Needs what Terraform makes first.
build_image() {
    local image="$1" before="${2:-$1}" digest
    step "Build the image $image"
    digest="$(image_digest "$image")"
    if [ -n "$digest" ]; then
        say "The registry has it: $digest"
        return
    fi
    change gcloud builds submit "$WORK/context" "--project=$PROJECT" "--region=${BUILD_REGION:-$REGION}" \
        "--config=$ROOT/deploy/cloudbuild.yaml" \
        "--service-account=projects/$PROJECT/serviceAccounts/$(output build_service_account)" \
        "--gcs-source-staging-dir=gs://$PROJECT-tally-build/source" --suppress-logs \
        "--substitutions=_IMAGE=$image,_CACHE_TO=$(cache_of "$image"),_CACHE_FROM=$(cache_of "$before")" ||
        build_failed "$image"
}

cache_of() { printf '%s' "${1%/tally:*}/cache:${1##*:}"; }

build_failed() {
    local id
    id="$(gcloud builds list "--project=$PROJECT" "--region=${BUILD_REGION:-$REGION}" --limit=1 \
        "--filter=substitutions._IMAGE=$1" '--format=value(id)')"
    if [ -n "$id" ]; then
        say "The end of the log of build $id:"
        read_logs "$(logged_by build build_id "$id")" 1h 40 >&2
    fi
    die 'The image could not be built. What served before serves on.'
}
