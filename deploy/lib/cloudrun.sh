# shellcheck shell=bash
# Jobs and services of Cloud Run, and what they say when something fails.

# A filter: `logged_by RESOURCE LABEL VALUE`.
logged_by() { printf 'resource.type="%s" AND resource.labels.%s="%s"' "$1" "$2" "$3"; }

# `read_logs FILTER SINCE LIMIT`: the newest LIMIT entries, oldest first, as lines.
read_logs() {
    ask '[]' gcloud logging read "$1" "--project=$PROJECT" "--freshness=$2" "--limit=$3" --order=desc --format=json |
        facts log-lines
}

# `run_job JOB ARGUMENT…`: runs it and waits. Where it fails, shows its log lines and returns 1.
# Arguments are parted by "|", since they may hold commas.
run_job() {
    local job="$1" execution filter arguments=''
    shift
    if [ $# -gt 0 ]; then
        arguments="--args=^|^$(printf '%s|' "$@")"
        arguments="${arguments%|}"
    fi
    if change gcloud run jobs execute "$job" "--project=$PROJECT" "--region=$REGION" \
        ${arguments:+"$arguments"} --wait; then
        return 0
    fi
    execution="$(gcloud run jobs describe "$job" "--project=$PROJECT" "--region=$REGION" \
        '--format=value(status.latestCreatedExecution.name)')" || execution=''
    say "The job $job failed. What it said${execution:+ (execution $execution)}:"
    filter="$(logged_by cloud_run_job job_name "$job")"
    filter="$filter${execution:+ AND labels.\"run.googleapis.com/execution_name\"=\"$execution\"}"
    read_logs "$filter" 1h 30 >&2
    return 1
}

migrate() {
    step 'Migrate the database (job tally-migrate)'
    run_job tally-migrate && return
    say 'The services were not touched. What served before serves on with the schema that it knows: a migration is'
    say 'applied whole or not at all.'
    die 'The database was not migrated; see above. Mend that, then make deploy again.'
}

# `check_services`: returns 1 and says why where the newest revision of a service is not the one that serves.
check_services() {
    local service failed=0
    for service in tally-ingest tally-record tally-query tally-admin; do
        check_service "$service" || failed=1
    done
    return "$failed"
}

check_service() {
    local service="$1" created ready why
    if dry_run; then
        ask '' gcloud run services describe "$service" "--project=$PROJECT" "--region=$REGION" --format=json >/dev/null
        return 0
    fi
    if ! gcloud run services describe "$service" "--project=$PROJECT" "--region=$REGION" --format=json \
        >"$WORK/service" 2>"$WORK/why"; then
        say "$service: $(one_line "$WORK/why")"
        return 1
    fi
    { IFS= read -r created && IFS= read -r ready && IFS= read -r why; } < <(facts readiness <"$WORK/service")
    if [ -z "$why" ]; then
        say "$service: $ready serves."
        return 0
    fi
    if [ "$ready" = - ]; then
        say "$service: $created is not ready, and there is none before it: it does not serve."
    else
        say "$service: $created is not ready; $ready still serves."
    fi
    say "  $why"
    read_logs "$(logged_by cloud_run_revision revision_name "$created") AND severity>=ERROR" 1h 5 | sed 's/^/  /' >&2
    return 1
}
