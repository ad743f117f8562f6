#!/bin/sh
# Holds the namespaces of an Incus server of its own until its standard input ends, then removes all that was in them.
# Arguments: cgroup, folder. Both are made here. Ends with 0 if both are gone.
trap '' INT TERM HUP
cgroup=$1 folder=$2

# What Incus' manual wants on servers: all containers share what one user may have of these, and each systemd takes
# several. Without keys, a unit in one of about forty fails at its step KEYRING. Whoever goes last puts them back.
limits='fs/inotify/max_user_instances=1024 kernel/keys/maxkeys=2000 kernel/keys/maxbytes=2000000'
before=/run/lock/firstlight-incus.limits
exec 8>>/run/lock/firstlight-incus.turn 9>>/run/lock/firstlight-incus.users
flock 8
if ! [ -s "$before" ]; then
	for limit in $limits; do
		echo "/proc/sys/${limit%=*} $(cat "/proc/sys/${limit%=*}")"
	done >"$before"
fi
flock -s 9
for limit in $limits; do
	[ "$(cat "/proc/sys/${limit%=*}")" -ge "${limit#*=}" ] || echo "${limit#*=}" >"/proc/sys/${limit%=*}"
done
flock -u 8

# Guests' roots lie in there, and their users must get to them.
mkdir -p "$cgroup" "$folder/incus" "$folder/tight"
chmod 0711 "$folder" "$folder/incus" "$folder/tight"

# The first process is in the cgroup's init.scope, where systemd would be: the containers' cgroups come beside that.
(
	echo 0 >"$cgroup/cgroup.procs"
	# shellcheck disable=SC2016
	exec unshare --cgroup sh -ec '
		mkdir "$1/init.scope"
		echo 0 >"$1/init.scope/cgroup.procs"
		exec unshare --mount --pid --net --uts --ipc --fork --kill-child --propagation private sh -ec "$3" init "$2"
	' enter "$cgroup" "$folder" '
		folder=$1
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mount -t tmpfs tmpfs /run
		mkdir -p /var/lib/lxcfs
		mount -t tmpfs tmpfs /var/lib/lxcfs
		mount -t tmpfs -o size=48m,mode=0711 tmpfs "$folder/tight"
		echo root:1000000:1000000000 >/run/subordinate
		for file in /etc/subuid /etc/subgid; do
			mount --bind /run/subordinate "$file"
		done
		ip link set lo up
		lxcfs -p /run/lxcfs.pid /var/lib/lxcfs >"$folder/lxcfs.log" 2>&1 &
		exec 3<&0
		echo ready >"$folder/ready"
		# A shell that waits buries the orphans, too, as a first process must.
		cat <&3 >/dev/null &
		wait $!
	'
) 8>&- 9>&-

tries=0
while [ -d "$cgroup" ] && [ "$tries" -lt 400 ]; do
	echo 1 >"$cgroup/cgroup.kill"
	find "$cgroup" -depth -type d -exec rmdir {} + && break
	sleep 0.05
	tries=$((tries + 1))
done
rm -rf --one-file-system "$folder"

flock 8
if flock -n 9; then
	while read -r file value; do
		echo "$value" >"$file"
	done <"$before"
	rm -f "$before"
fi
[ ! -d "$cgroup" ] && [ ! -d "$folder" ]
