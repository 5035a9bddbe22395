#!/bin/sh
# Prints the namespace and the Secrets that the pods mount, made of what `klankbord credentials` wrote:
#
#   klankbord credentials creds --hand-out given --postgres-url postgresql://postgres:5432/klankbord
#   deploy/k8s/secrets.sh creds given | kubectl apply --server-side -f -
#
# One Secret for each folder in `given`, with its name: each pod mounts its own. Yours go there too:
# `source-secrets` with a file for each webhook source, `postgres-ca` with `ca.crt`. `credentials` holds
# everything, for the Job `prepare` and the operator's command alone. Nothing is written here.
set -eu
if [ ! -f "${1:-}/provision.nk" ] || [ ! -f "${2:-}/nats/auth.conf" ]; then
  echo "usage: $0 CREDENTIALS GIVEN, two folders that \`klankbord credentials CREDENTIALS --hand-out GIVEN --postgres-url URI\` made" >&2
  exit 2
fi
if [ -t 1 ]; then
  echo "this prints keys and passwords, and a terminal keeps what it shows: add | kubectl apply --server-side -f -" >&2
  exit 2
fi

secret() {
  echo "---"
  kubectl create secret generic "$1" --namespace klankbord --from-file="$2" --dry-run=client --output yaml
}

cat "$(dirname "$0")/base/namespace.yaml"
secret credentials "$1"
for folder in "$2"/*/; do
  folder=${folder%/}
  secret "$(basename "$folder")" "$folder"
done
