#!/bin/sh
# Puts an image on the machines that a selector fits, and waits until that is over.
#
#   DISKCAST_SERVER=https://10.0.0.1:8443 DISKCAST_TOKEN=... DISKCAST_PIN=sha256:... sessions.sh IMAGE SELECTOR
#
# It needs curl and jq. The pin is that of `diskcast token`; curl takes it in base64.
set -eu
image=$1 on=$2
pin=sha256//$(printf %s "${DISKCAST_PIN#sha256:}" | tr a-f A-F | basenc --base16 --decode | base64)

# Asks, and keeps the answer in $answer. A refusal is a problem document: its detail says why, and what to do.
api() {
	method=$1 path=$2
	shift 2
	answer=$(curl --silent --show-error --fail-with-body --insecure --pinnedpubkey "$pin" \
		--header "Authorization: Bearer $DISKCAST_TOKEN" --header "Content-Type: application/json" --request "$method" "$@" "$DISKCAST_SERVER$path") || {
		printf '%s\n' "$answer" >&2
		exit 1
	}
}

spec=$(jq -cn --arg image "$image" --arg on "$on" '{v: 1, image: $image, on: $on, target: {}}')

# What it would do to each machine, before anything is done.
api POST /v1/sessions/plan --data "$spec"
printf '%s' "$answer" | jq -r '.machines[] | "\(.name // .node): \(.verdict)"'

# With a key of its own: asked for again because no answer came, it is not made twice.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
api POST /v1/sessions --data "$spec" --header "Idempotency-Key: $key" --retry 3
id=$(printf '%s' "$answer" | jq -r .id)
echo "session $id"

# Its state, until it is over.
while :; do
	api GET "/v1/sessions/$id"
	state=$(printf '%s' "$answer" | jq -r .state)
	case $state in
	done | failed | cancelled) break ;;
	esac
	sleep 2
done
echo "$state"
