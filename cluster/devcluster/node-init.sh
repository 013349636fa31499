# The first process of a node, in new network, mount and process namespaces. Killing it ends every
# process of the node and so takes the node's mounts and interfaces with it.
# Arguments: the node's folder.
set -eu
node=$1

mount --make-rshared / # of this namespace only: volumes reach containers, nothing reaches the host
mount --bind "$node/run" /run
mount --bind "$node/log" /var/log
mount --bind "$node/kubelet" /var/lib/kubelet
# the kubelet insists on its own values of these settings, which belong to the whole machine:
# it finds files that hold them already
for setting in "$node"/sysctl/*; do
	mount --bind "$setting" "/proc/sys/$(basename "$setting" | tr . /)"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
touch /run/ready

# reaps what its children leave behind
while :; do
	sleep infinity &
	wait $!
done
