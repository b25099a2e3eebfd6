#!/bin/sh
# The first process where SELinux is tried. The root is in memory and comes without labels: they have to be there
# before systemd, which gets its domain by the label of its own file.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t selinuxfs selinuxfs /sys/fs/selinux
# Otherwise only ten denials in five seconds are shown.
echo 0 >/proc/sys/kernel/printk_ratelimit
load_policy -i
setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /
exec /usr/lib/systemd/systemd
