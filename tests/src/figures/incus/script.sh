#!/usr/bin/env bash
# What people write instead: launch all side by side, then poll each until systemd and sshd are up.
# Arguments: image, key to log in with, names. INCUS_DIR is set.
set -euo pipefail
image=$1 key=$2
shift 2

ready() { # NAME
	incus launch --quiet "$image" "$1" </dev/null
	until [ "$(incus exec "$1" -- systemctl is-system-running 2>&1 </dev/null)" = running ]; do sleep 1; done
	local address=
	until [ -n "$address" ]; do
		address=$(incus list "^$1\$" --format csv --columns 4 </dev/null | sed -n 's/ .*//p;q')
		[ -n "$address" ] || sleep 1
	done
	until ssh -F /dev/null -i "$key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o LogLevel=ERROR -o BatchMode=yes -o ConnectTimeout=2 "root@$address" true </dev/null; do sleep 1; done
}

workers=()
for name; do
	ready "$name" &
	workers+=("$!")
done
for worker in "${workers[@]}"; do wait "$worker"; done
