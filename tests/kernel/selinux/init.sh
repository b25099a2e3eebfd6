#!/bin/sh
# The first process of the machine with SELinux. The root file system is in memory and has no labels. They are set before
# systemd is executed, because its domain follows from the label of its file.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t selinuxfs selinuxfs /sys/fs/selinux
# Otherwise the kernel logs only ten denials in five seconds.
echo 0 >/proc/sys/kernel/printk_ratelimit
load_policy -i
setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /
exec /usr/lib/systemd/systemd
