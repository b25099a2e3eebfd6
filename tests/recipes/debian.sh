# Installs Debian packages over a root folder, and writes what they add to an archive. Nothing is installed on the host.
#
#   unshare --mount --propagation private sh debian.sh ROOT ARCHIVE PACKAGE…
set -eu
root=$1 archive=$2
shift 2
room=$(mktemp -d)
mount -t tmpfs packages "$room"
mkdir "$room/upper" "$room/work" "$room/merged"
mount -t overlay -o "lowerdir=$root,upperdir=$room/upper,workdir=$room/work" packages "$room/merged"
mount --bind /dev "$room/merged/dev"
mount -t proc proc "$room/merged/proc"
mount -t tmpfs tmp "$room/merged/tmp"
# Scripts of the packages must not start services.
printf '#!/bin/sh\nexit 101\n' >"$room/merged/usr/sbin/policy-rc.d"
chmod 755 "$room/merged/usr/sbin/policy-rc.d"
chroot "$room/merged" apt-get update -qq
chroot "$room/merged" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
cd "$room/upper"
rm -rf var/cache/apt var/lib/apt/lists dev proc tmp usr/sbin/policy-rc.d
tar -cf "$archive.half" .
mv "$archive.half" "$archive"
