# shellcheck shell=bash
# The smoke test: events in, figures out, over the addresses that clients use.

# A token for the organization tally-smoke alone, so that its events show up in nobody else's figures.
smoke_token() {
    step 'Register a token for the smoke test, good for 15 minutes'
    make_token 'smoke test' ingest,read tally-smoke "$(facts in-minutes 15)"
}

# `smoke URL QUERY_URL`, with SECRET; the token goes in by the environment.
smoke() {
    step "Smoke test of $1"
    if dry_run; then
        # shellcheck disable=SC2086 # a command and its arguments
        show SMOKE_TOKEN=TOKEN $TALLY smoke --url "$1" --query-url "$2"
        return
    fi
    # shellcheck disable=SC2086
    SMOKE_TOKEN="$SECRET" $TALLY smoke --url "$1" --query-url "$2" >&2
}

# Sets URL, QUERY_URL and ADMIN_URL to those of the deployment.
# shellcheck disable=SC2034 # not every script tells all of them
deployed_urls() {
    URL="$(output url)"
    QUERY_URL="$URL"
    ADMIN_URL="$URL"
    if [ -z "$URL" ] || dry_run; then
        URL="$(output ingest_url)"
        QUERY_URL="$(output query_url)"
        ADMIN_URL="$(output admin_url)"
    fi
}
