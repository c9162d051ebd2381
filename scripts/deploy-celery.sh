#!/usr/bin/env bash
# Deploy this checkout to a host with Docker, over ssh; running it again updates.
#
#   scripts/deploy-celery.sh [USER@]HOST [FOLDER]        FOLDER is ~/materia unless given
#
# SSH_OPTIONS holds options of ssh (-p 2222 -i key), WAIT_S how long the services may take (600).
# Missing passwords are made on the host, in files that only their owner may read; none is ever in an
# argument, and none leaves the host.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '[deploy] %s\n' "$*"; }
fail() {
  printf '[deploy] error: %s\n' "$*" >&2
  exit 1
}
case ${1:-} in
  '' | -*) fail 'usage: scripts/deploy-celery.sh [USER@]HOST [FOLDER]' ;;
esac
host=$1
folder=${2:-materia}
wait_s=${WAIT_S:-600}
case $folder in *[!A-Za-z0-9._/-]*) fail "the folder may have letters, digits and . _ / - only: $folder" ;; esac
case $wait_s in '' | *[!0-9]*) fail "WAIT_S is a number of seconds: $wait_s" ;; esac
# shellcheck disable=SC2206 # several options in one variable
options=(-o BatchMode=yes -o ConnectTimeout=15 ${SSH_OPTIONS:-})
remote() { ssh "${options[@]}" -- "$host" "$@"; }

say "looking at $host"
remote 'command -v docker >/dev/null && docker compose version >/dev/null' ||
  fail "$host cannot be reached by ssh, or has no 'docker compose' there"

say "copying this checkout to $folder"
# Files that git knows, as they are here; what is gone from src must not stay in the image.
known() {
  git ls-files -z | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done
}
known | tar --create --gzip --null --files-from=- |
  remote "umask 022 && mkdir -p '$folder' && cd '$folder' && rm -rf src && tar --extract --gzip"

# The program goes through standard input, so that nothing of it is in the host's process list.
say 'making passwords where there are none, and starting'
remote "cd '$folder' && sh -s" <deploy/start-services || fail 'the services could not be started'

say "waiting up to $wait_s s, then sending a ping through the queue"
if ! remote "cd '$folder' && WAIT_S=$wait_s sh -s" <deploy/check-services; then
  remote "cd '$folder' && docker compose ps && docker compose logs --tail=40" >&2 || true
  fail 'what was deployed does not work; the lines above say why'
fi
say "done: http://127.0.0.1:8000 and Flower at :5555 on $host; the key is in $folder/.env.celery"
