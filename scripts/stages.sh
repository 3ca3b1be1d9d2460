# Sourced by ./run and ./check: timed stages, and build folders that are set up once.

# stage NAME COMMAND...: runs it and says how long it took. Inside, a failing command does not end
# the function it is in (bash switches `set -e` off there): functions chain what must succeed.
stage() {
    local name=$1 started=$EPOCHREALTIME
    shift
    printf -- '-- %s\n' "$name"
    local code=0
    "$@" || code=$?
    local ended=$EPOCHREALTIME
    local tenths=$(((${ended/./} - ${started/./}) / 100000))
    printf -- '-- %s: %d.%d s%s\n' "$name" $((tenths / 10)) $((tenths % 10)) \
        "$( ((code == 0)) || echo ", failed")"
    return "$code"
}

# setup_folder FOLDER [VARIABLE=VALUE...] [-Doption...]: configures it unless it is configured in
# this very way. Output is shown only when something goes wrong.
setup_folder() {
    local folder=$1 variables=() options=() word
    shift
    for word in "$@"; do
        if [[ $word == -D* ]]; then
            options+=("$word")
        else
            variables+=("$word")
        fi
    done
    local stamp="$folder/configured-as" log="$folder/build.log"
    if [[ ! -f $folder/build.ninja || $(cat "$stamp" 2> /dev/null) != "$*" ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        env "${variables[@]}" meson setup "$folder" "${options[@]}" > "$log" 2>&1 || {
            cat "$log"
            return 1
        }
        echo "$*" > "$stamp"
    fi
}

# build_folder FOLDER [VARIABLE=VALUE...] [-Doption...]: setup_folder, then all that is in it.
build_folder() {
    local folder=$1 log="$1/build.log"
    setup_folder "$@" || return 1
    ninja -C "$folder" > "$log" 2>&1 || {
        grep -v '^\[' "$log" | tail -n 60
        return 1
    }
}
