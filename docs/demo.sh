#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./run demo [DIRECTORY]: AtoCore at work on the Markdown files of DIRECTORY (default: this
# project's own), in a scratch storage root that is removed at the end. Each command is shown as it
# runs. BUILD names the build directory, PROMPT what is asked.
#
# shellcheck disable=SC2016 # commands are shown as they are typed, and expand when they run
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
files=${1:-}
case ${BUILD:=build} in
/*) ;;
*) BUILD=$project/$BUILD ;;
esac
PATH=$BUILD:$PATH
scratch=$(mktemp -d "${TMPDIR:-/tmp}/atocore-demo.XXXXXX")
daemon=
ATOCORE_ROOT=$scratch/root
export PATH ATOCORE_ROOT

clean_up() {
        [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
        [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
        rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() {
        printf '\n\033[1m# %s\033[0m\n' "$*"
}
[ -t 1 ] || say() {
        printf '\n# %s\n' "$*"
}

# The command as one string, shown and run.
show() {
        printf '$ %s\n' "$1"
        eval "$1"
}

# The same for one that must fail, with the status that it ends with.
show_failing() {
        status=0
        show "$1" || status=$?
        printf '[exit status %s]\n' "$status"
        [ "$status" -ne 0 ]
}

for directory in config data/db data/cache data/tmp data/locks sources/vault sources/drive logs \
        backups/snapshots backups/archives backups/pre-restore backups/state; do
        mkdir -p "$ATOCORE_ROOT/$directory"
done
cd "$ATOCORE_ROOT"

say "A storage root of its own: $ATOCORE_ROOT"
mkdir sources/vault/notes
if [ -n "$files" ]; then
        cp -R "$files"/. sources/vault/notes
        prompt=${PROMPT:-What is this about?}
else
        cp "$project"/README.md "$project"/docs/*.md sources/vault/notes
        prompt=${PROMPT:-How is a snapshot published so that a crash leaves nothing broken?}
fi
cat >config/project-registry.json <<'END'
{"projects": [{"id": "notes", "aliases": ["n"], "description": "the demo's files",
               "ingest_roots": [{"source": "vault", "subpath": "notes", "label": "notes"}]}]}
END
show 'cat config/project-registry.json'

say 'Ingest: files become chunks that follow the headings'
show 'atocore-ingest'
say 'Again: nothing changed, nothing is done'
show 'atocore-ingest'

start_daemon() {
        printf '$ atocored --listen 127.0.0.1:0 &\n'
        : >"$scratch/log"
        atocored --listen 127.0.0.1:0 2>"$scratch/log" &
        daemon=$!
        until grep -q '\[daemon_started\]' "$scratch/log"; do
                kill -0 "$daemon" || { cat "$scratch/log" && exit 1; }
                sleep 0.1
        done
        cat "$scratch/log"
        url=http://127.0.0.1:$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$scratch/log" |
                head -n 1)
        export url
}

say 'The daemon, on a free port'
start_daemon
show 'curl -s $url/health | jq .'

say 'A context pack, with citations (project by its alias, budget in characters)'
jq -n --arg prompt "$prompt" '{$prompt, project: "N", budget: 2500}' >"$scratch/request"
show "cat $scratch/request"
show "curl -s --json @$scratch/request \$url/context/build >$scratch/answer"
show "jq -r .formatted_context $scratch/answer"
show "jq -c '{chunks_used, total_chars, budget, duration_ms}' $scratch/answer"

say 'A backup while the daemon serves, and its validation'
show 'atocore-backup --label "first"'
show 'atocore-backup --list'
show 'atocore-validate'
stamp=$(ls backups/snapshots)
export stamp
show 'cd backups/snapshots/$stamp && sha256sum -c SHA256SUMS && cd ../../..'

say 'The live database is destroyed, and comes back with one command, proven before anybody asks it'
show 'head -c 65536 /dev/urandom >data/db/atocore.db'
show 'atocore-restore latest'
say 'It ended the daemon; under systemd the next client starts it. The same question, the same pack'
start_daemon
show "curl -s --json @$scratch/request \$url/context/build >$scratch/again"
show "jq .formatted_context $scratch/answer >$scratch/before"
show "jq .formatted_context $scratch/again | cmp - $scratch/before && echo 'the same pack'"
show 'ls backups/pre-restore/*'

say 'One byte of it changes, as on a failing disk: caught, with what to do about it'
show 'printf X |
        dd status=none bs=1 seek=5000 conv=notrunc of=backups/snapshots/$stamp/db/atocore.db'
show_failing 'atocore-validate'

say 'Six weeks of backups, and what retention makes of them'
show 'day=0; while [ $day -lt 42 ]; do
        stamp=$(date -u -d "2026-02-20 06:00 UTC + $day days" +%Y%m%dT%H%M%SZ)
        ATOCORE_NOW=$stamp atocore-backup --quiet
        day=$((day + 1))
done'
show 'atocore-prune --dry-run --now 20260402T080000Z'

say 'That was all: the daemon ends, the scratch root goes'
