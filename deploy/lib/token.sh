# shellcheck shell=bash
# API tokens. A secret is made on this machine and stays in a variable of it: never on a command line, in a file or in
# a log. The database gets its SHA-256, which is worth nothing to whoever reads it.

# `make_token NAME SCOPES ORGANIZATION EXPIRES`, the last two may be empty: sets SECRET.
make_token() {
    local name="$1" scopes="$2" organization="$3" expires="$4" made scope list
    case "$name$scopes$organization$expires" in
        *[\|[:cntrl:]]*) die 'a name has no "|" and no control characters' ;;
    esac
    if dry_run; then made="(none)"$'\n'HASH; else made="$(facts new-token)"; fi
    SECRET="${made%%$'\n'*}"
    list=(tokens create --name "$name")
    for scope in ${scopes//,/ }; do list+=(--scope "$scope"); done
    if [ -n "$organization" ]; then list+=(--organization "$organization"); fi
    if [ -n "$expires" ]; then list+=(--expires "$expires"); fi
    list+=(--token-hash "${made##*$'\n'}")
    run_job tally-command "${list[@]}" || die 'The token was not registered.'
}
