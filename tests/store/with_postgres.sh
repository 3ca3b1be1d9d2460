#!/usr/bin/env bash
# Runs a program beside a PostgreSQL of its own, which ends with it:
#     tests/store/with_postgres.sh PROGRAM ARGUMENT...
# The program finds its address in TW_TEST_POSTGRES. The server has a temporary folder, listens on a
# socket there and nowhere else, and is not root even when we are.
set -euo pipefail

readonly start_seconds=60
readonly run_seconds=${TW_TEST_SECONDS:-300}

fail() {
    echo "with_postgres.sh: $1" >&2
    exit 1
}

newest() {
    local candidates=(/usr/lib/postgresql/*/bin)
    printf '%s\n' "${candidates[@]}" | sort -V | tail -1
}

bin=$(newest)
[[ -x $bin/initdb && -x $bin/postgres ]] || fail "PostgreSQL is missing: install postgresql"

folder=$(mktemp -d "${TMPDIR:-/tmp}/tokenworks-pg-XXXXXX")
server= program=
stop() {
    trap - EXIT
    if [[ -n $program ]]; then
        kill "$program" 2> /dev/null || true # timeout passes it on
        wait "$program" 2> /dev/null || true
    fi
    if [[ -n $server ]]; then
        kill -QUIT "$server" 2> /dev/null || true # at once; nobody needs the data
        wait "$server" 2> /dev/null || true
    fi
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

as_owner=()
if ((EUID == 0)); then
    id postgres > /dev/null 2>&1 || fail "there is no user postgres, and the server refuses root"
    chown postgres "$folder"
    as_owner=(setpriv --reuid postgres --regid postgres --clear-groups)
fi
readonly home=$PWD
cd "$folder"
export LC_ALL=C

# No sync while the cluster is made: a machine that stops then has nothing to lose.
"${as_owner[@]}" "$bin/initdb" --pgdata=data --username=tokenworks --auth=trust --encoding=UTF8 \
    --locale=C --no-sync > initdb.log 2>&1 || fail "initdb: $(tail -1 initdb.log)"

# The server ends when this shell does, however that ends.
"${as_owner[@]}" setpriv --pdeathsig QUIT "$bin/postgres" -D data -k "$folder" \
    -c listen_addresses= -c unix_socket_permissions=0777 -c deadlock_timeout=100ms \
    -c max_connections=40 -c shared_buffers=32MB -c jit=off > server.log 2>&1 &
server=$!
chmod 0755 "$folder"

ready=
for ((i = 0; i < start_seconds * 10; i++)); do
    if "$bin/pg_isready" -q -h "$folder" -U tokenworks -d postgres; then
        ready=yes
        break
    fi
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
done
[[ -n $ready ]] || fail "the server does not start: $(tail -1 server.log)"

export TW_TEST_POSTGRES="postgres:///postgres?host=$folder&user=tokenworks"
cd "$home"
status=0
timeout --kill-after=10 "$run_seconds" "$@" & # a signal to us is not kept waiting for its end
program=$!
wait "$program" || status=$?
program=
if ((status != 0)); then
    tail -20 "$folder/server.log" >&2
fi
exit "$status"
