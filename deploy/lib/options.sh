# shellcheck shell=bash disable=SC2034
# Options are NAME=value, as they are given to make. What happens to be in the environment is not one.

PROJECT='' REGION='' VARS='' ENVIRONMENT='' YES='' DRY_RUN=''
BUILD_REGION='' TO='' FUNCTION='' SINCE='' URL='' QUERY_URL='' NAME='' SCOPES='' ORGANIZATION='' EXPIRES=''

# `options "PROJECT REGION" "$@"` takes those that are named first.
options() {
    local known="$1" option name
    shift
    for option in "$@"; do
        case "$option" in
            -h | --help)
                usage
                exit 0
                ;;
            [A-Z]*=*) ;;
            *) usage_error "expected NAME=value, not '$option'" ;;
        esac
        name="${option%%=*}"
        case " $known " in
            *" $name "*) printf -v "$name" '%s' "${option#*=}" ;;
            *) usage_error "there is no option $name here" ;;
        esac
    done
    case "$YES" in '' | 0 | 1) ;; *) usage_error 'YES is 1, or not given' ;; esac
    case "$DRY_RUN" in '' | 0 | 1) ;; *) usage_error 'DRY_RUN is 1, or not given' ;; esac
}

needs_project() {
    case "$PROJECT" in
        '') usage_error 'give PROJECT=… , the id of a Google Cloud project' ;;
        *[!a-z0-9-]*) usage_error "'$PROJECT' is no project id; gcloud projects list shows them" ;;
    esac
}
