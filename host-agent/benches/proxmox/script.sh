#!/usr/bin/env bash
# One container from a golden archive the usual way: restore, new MAC, host name, size, mount, start.
set -euo pipefail

call() { # METHOD PATH [FIELD=VALUE]...
	local method=$1 path=$2 fields=()
	shift 2
	for field in "$@"; do fields+=(--data-urlencode "$field"); done
	curl -sS --fail-with-body --cacert "$CA" -X "$method" \
		-H "Authorization: $TOKEN" "${fields[@]}" "$API$path"
}

await() { # UPID: until its task has ended well
	local upid=${1//:/%3A} status
	upid=${upid//@/%40} upid=${upid//!/%21}
	while status=$(call GET "/nodes/pve1/tasks/$upid/status"); [[ $status != *'"status":"stopped"'* ]]; do
		sleep 1
	done
	[[ $status == *'"exitstatus":"OK"'* || $status == *'"exitstatus":"WARNINGS'* ]] || { echo "$status" >&2; exit 1; }
}

task() { # as call, and waits for the task that it starts
	local answer
	answer=$(call "$@")
	[[ $answer =~ UPID:[^\"]* ]] || { echo "no task: $answer" >&2; exit 1; }
	await "${BASH_REMATCH[0]}"
}

guest=/nodes/pve1/lxc/$VMID
task POST /nodes/pve1/lxc vmid="$VMID" ostemplate="$GOLDEN" restore=1 storage=local
call PUT "$guest/config" net0=name=eth0,bridge=vmbr0,ip=dhcp >/dev/null
call PUT "$guest/config" hostname="$NAME" >/dev/null
task PUT "$guest/resize" disk=rootfs size="$DISK"
until call PUT "$guest/config" mp0="local:1,mp=$MOUNT" >/dev/null; do sleep 1; done
task POST "$guest/status/start"
