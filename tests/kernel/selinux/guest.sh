#!/bin/sh
# Tests rsgen where Debian's policy is enforced: the generator, an install, reloads under load, drains, and a stop.
#
# Prints a line of TAP for each check, then switches the machine off.
set -u
export SYSTEMD_COLORS=0 NO_COLOR=1
number=0

report() { # STATUS WHAT
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        sed 's/^/# /' /run/said
        journalctl -b -n 20 -o cat | sed 's/^/# /'
    fi
}

holds() { # WHAT COMMAND
    what=$1
    shift
    "$@" >/run/said 2>&1
    report $? "$what"
}

app() { # NAME SCRIPT PORT
    printf '[[apps]]\nname = "%s"\nscript = "/srv/web/%s"\ncwd = "/srv/web"\nlisten = "0.0.0.0:%s"\nuser = "www-data"\n' "$1" "$2" "$3"
    printf 'instances = 2\nsettle = 0\nlisten_timeout = "10min"\nkill_timeout = "5min"\ndrain_timeout = "5min"\n'
}


echo '# the machine is up'
depmod
holds 'the boot denied rsgen nothing' sh -c "! dmesg | grep 'avc: *denied.*rsgen'"
holds 'the policy is enforced' test "$(getenforce)" = Enforcing
mkdir -p /srv/web /etc/rsgen
cp /vm/*.py /srv/web
sed 's/3000/3001/' /vm/python.py >/srv/web/python.py
app gen python.py 3001 >/etc/rsgen/gen.toml
holds 'a daemon-reload generates units' sh -c 'systemctl daemon-reload && test -e /run/systemd/generator/gen.service'
holds 'they start' systemctl start gen.service
holds 'and answer' curl --silent --max-time 60 http://127.0.0.1:3001/
{
    app web threads.py 3000
    # The program waits in accept(2), so no start of an instance may make the shared socket non-blocking.
    echo 'service.NonBlocking = "no"'
} >/srv/web/ecosystem.toml
holds 'an app is installed' rsgen install --quiet /srv/web/ecosystem.toml
/vm/load --url http://127.0.0.1:3000/ --clients 4 --pause-ms 100 --patience 120 --until-file /run/enough >/run/report &
holds 'and reloaded by rsgen' rsgen reload web
holds 'and by systemctl' systemctl reload web
touch /run/enough
wait $!
status=$?
cp /run/report /run/said
report $status 'and no request is lost'
holds 'the app is stopped' rsgen stop web
holds 'and uninstalled' rsgen uninstall web
holds 'nothing was denied' sh -c "! dmesg | grep 'avc: *denied.*\(rsgen\|/srv/web\)'"
# The policy does not let a service read the journal.
setenforce 0
# journald may be writing to the file, which journalctl then cannot read.
journalctl --sync
holds 'each instance was drained' sh -c 'journalctl -b -o cat | grep "instance 1: ready" && ! journalctl -b -o cat | grep -E "keeps accepting|without a drain"'
echo "1..$number"
