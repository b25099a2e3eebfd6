# Keeps one machine: its disk, its cgroup and its systemd-nspawn.
#
#   unshare --mount --pid --fork --kill-child --mount-proc sh keeper.sh NAME ROOM LOWER[:LOWER…] [PROGRAMS]
#
# LOWER may be relative to ROOM. /srv has what is in the folder PROGRAMS, for which it is an overlay of its own: the folder may be
# below a LOWER, and then cannot be one itself.
#
# The keeper has namespaces of its own, so that its mounts and every process of the machine end with it, however it ends. The
# disk is a tmpfs, so nothing is left. The keeper reads orders from standard input, one in a line, and answers each with a
# line. When standard input ends, because the owner has ended, it switches the machine off.
set -eu
name=$1 room=$2 lower=$3 programs=${4-}
nspawn=

# systemd-nspawn --keep-unit creates `payload` below its own cgroup. Without a cgroup for each machine, machines that run at
# the same time would share the cgroups of their units. Only hosts in hybrid mode have the second hierarchy.
hierarchies=/sys/fs/cgroup
if [ -e /sys/fs/cgroup/unified ]; then
    hierarchies='/sys/fs/cgroup/unified /sys/fs/cgroup/systemd'
fi

disk() {
    mount -t tmpfs -o mode=755 "$name" "$room"
    cd "$room"
    mkdir upper work merged upper.srv work.srv
    # Short paths: the kernel prints them in each line of /proc/PID/mountinfo that shows a part of this disk, and systemd reads
    # those lines again and again when it starts a service in a sandbox.
    mount -t overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" "$name" merged
    [ -z "$programs" ] ||
        mount -t overlay -o "lowerdir=$programs,upperdir=upper.srv,workdir=work.srv" "$name" merged/srv
    # Services of the host are no part of a test. This happens only once, because links that a spec has made must survive a
    # power cycle.
    rm -f merged/etc/systemd/system/multi-user.target.wants/* \
        merged/etc/systemd/system/timers.target.wants/*
    # Without this file dpkg(1) does not index every manual page anew after each package.
    rm -f merged/var/lib/man-db/auto-update
}

boot() { # CPUS
    for hierarchy in $hierarchies; do
        mkdir -p "$hierarchy/$name"
    done
    # shellcheck disable=SC2016,SC2086
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid sh -euc '
        cpus=$1 name=$2
        shift 2
        for hierarchy; do echo $$ >"$hierarchy/$name/cgroup.procs"; done
        exec taskset -c "$cpus" systemd-nspawn -q -D merged -M "$name" \
            --register=no --keep-unit --private-network --link-journal=no \
            --system-call-filter="pidfd_getfd kcmp process_vm_readv" --capability=CAP_WAKE_ALARM -b
        ' sh "$1" "$name" $hierarchies </dev/null >console 2>&1 &
    nspawn=$!
}

# Killing only systemd-nspawn would leave the machine's PID 1 running.
switch_off() {
    [ -n "$nspawn" ] || return 0
    set -- $hierarchies
    echo 1 >"$1/$name/cgroup.kill"
    wait "$nspawn" 2>/dev/null || true
    nspawn=
    until grep -q 'populated 0' "$1/$name/cgroup.events"; do sleep 0.01; done
    for hierarchy in $hierarchies; do
        find "$hierarchy/$name" -depth -type d -delete
    done
}

disk
echo ready
while read -r order argument; do
    case $order in
    boot) boot "$argument" && echo booting ;;
    boot-unfiltered) SYSTEMD_SECCOMP=0 boot "$argument" && echo booting ;;
    cut) switch_off && echo off ;;
    esac
done
switch_off
