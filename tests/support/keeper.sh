# Keeps one machine: its disk, its cgroup and its systemd-nspawn.
#
#   unshare --mount --propagation private sh keeper.sh NAME ROOM LOWER
#
# Lives in its own mount namespace, so that its mounts end with it, and holds the machine's disk on
# a tmpfs, so that nothing stays behind. Takes orders on standard input, one a line, and answers
# each with one line. The end of standard input, which is also the end of its owner however that
# came about, switches the machine off; nspawn in turn dies with this shell, and PID 1 with nspawn.
set -eu
name=$1 room=$2 lower=$3
nspawn=

# systemd-nspawn --keep-unit makes `payload` below its own cgroup: without a cgroup for each,
# machines that run side by side would share their units' cgroups. The second hierarchy is there
# on hosts in hybrid mode only.
hierarchies=/sys/fs/cgroup
if [ -e /sys/fs/cgroup/unified ]; then
    hierarchies='/sys/fs/cgroup/unified /sys/fs/cgroup/systemd'
fi

remove_cgroups() { # NAME
    for hierarchy in $hierarchies; do
        [ ! -d "$hierarchy/$1" ] || find "$hierarchy/$1" -depth -type d -exec rmdir {} + || true
    done
}

# What a keeper could not clear away because it was killed itself: its owner's pid is in the name.
sweep() {
    for hierarchy in $hierarchies; do
        for left in "$hierarchy"/rsgen-*-*; do
            [ -d "$left" ] || continue
            left=${left##*/} owner=${left#rsgen-}
            [ -d "/proc/${owner%%-*}" ] || remove_cgroups "$left" 2>/dev/null
        done
    done
}

disk() {
    mount -t tmpfs -o mode=755 "$name" "$room"
    cd "$room"
    mkdir upper work merged
    mount -t overlay -o "lowerdir=$lower,upperdir=$room/upper,workdir=$room/work" "$name" merged
    # What the host happens to run is no part of a test. Once only: after a power cycle the links
    # that a spec has made must still be there.
    rm -f merged/etc/systemd/system/multi-user.target.wants/* \
        merged/etc/systemd/system/timers.target.wants/*
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
        exec taskset -c "$cpus" setpriv --pdeathsig KILL systemd-nspawn -q -D merged -M "$name" \
            --register=no --keep-unit --private-network --link-journal=no \
            --system-call-filter="pidfd_getfd kcmp process_vm_readv" -b
        ' sh "$1" "$name" $hierarchies </dev/null >console 2>&1 &
    nspawn=$!
}

switch_off() {
    [ -n "$nspawn" ] || return 0
    kill -KILL "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn=
}

sweep
disk
echo ready
while read -r order argument; do
    case $order in
    boot) boot "$argument" && echo "$nspawn" ;;
    wait) wait "$nspawn" 2>/dev/null || true; nspawn=; echo off ;;
    cut) switch_off; echo off ;;
    esac
done
switch_off
remove_cgroups "$name" 2>/dev/null
