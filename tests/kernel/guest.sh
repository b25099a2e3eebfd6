#!/bin/sh
# Tests the drain and the handover on the kernel of a distribution, in a virtual machine. Here the Yama module restricts
# ptrace(2), and no seccomp filter of a container applies to the drain, so it can suspend the filters of programs.
#
# Prints a line of TAP (Test Anything Protocol) for each check, then switches the machine off.
set -u
export SYSTEMD_COLORS=0 NO_COLOR=1
number=0

report() { # STATUS WHAT
    number=$((number + 1))
    case $1 in
    0) echo "ok $number - scope $scope: $2" ;;
    *)
        echo "not ok $number - scope $scope: $2"
        journalctl -b -n 30 -o cat | sed 's/^/# /'
        ;;
    esac
}

user() { # COMMAND, as an ordinary user with a login session
    login='XDG_RUNTIME_DIR=/run/user/1500 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus'
    runuser -u worker -- sh -c "cd; $login $1"
}

manager() { # COMMAND ARGUMENTS, for the manager that runs the cluster
    if [ "$owner" = worker ]; then user "$1 --user $2"; else eval "$1 $2"; fi
}

write() { # SCRIPT LINES
    cp "/vm/$1" "$folder/"
    printf '[[apps]]\nname = "web"\nscript = "%s"\ninstances = 2\nsettle = 0\nlisten_timeout = "10min"\nkill_timeout = "5min"\ndrain_timeout = "5min"\n%b\n' "$1" "$2" >"$folder/ecosystem.toml"
}

# A few patient clients with pauses, because starting programs keeps emulated processors busy, and so does a busy host.
ask() { # SCRIPT
    case $1 in
    datagrams.py) python3 /vm/ask-datagrams.py 3000 4 /run/enough ;;
    *) /vm/load --url http://127.0.0.1:3000/ --clients 4 --pause-ms 100 --patience 120 --until-file /run/enough ;;
    esac
}

# Reloads under load: no request is lost, and no instance reports that it could not drain.
loses_nothing() { # WHAT SCRIPT LINES
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    result=1
    if manager rsgen "install --quiet $folder/ecosystem.toml" >/run/said 2>&1; then
        rm -f /run/enough
        ask "$2" >/run/report &
        manager rsgen 'reload web' >/dev/null
        result=$?
        touch /run/enough
        wait $! && grep -Eq '"(ok|answered)": *[1-9]' /run/report || result=1
        sed 's/^/# /' /run/report
        echo
        if journalctl -b -o cat | grep -E 'keeps accepting|without a drain'; then result=1; fi
    fi
    report $result "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# The install is refused, and the message names the reason and a remedy.
is_refused() { # WHAT SCRIPT LINES
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    manager rsgen "install $folder/ecosystem.toml" >/run/said 2>&1
    status=$?
    # The message may be missing in the output of the command, which does not wait long for the journal.
    journalctl -b -o cat >>/run/said
    grep 'ptrace_scope' /run/said | sed 's/^/# /'
    [ $status = 1 ] && grep -q "kernel.yama.ptrace_scope. is $scope" /run/said && grep -q 'handover = "fds"' /run/said
    report $? "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# The app serves and can be reloaded, and the journal says that it is not drained.
cannot_drain() { # WHAT SCRIPT LINES [WORDS]
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    manager rsgen "install $folder/ecosystem.toml" >/dev/null && manager rsgen 'reload web' >/dev/null &&
        journalctl -b -o cat | grep "${4:-stops without a drain}.*kernel.yama.ptrace_scope. is $scope" >/dev/null
    report $? "$1"
    manager rsgen 'uninstall web' >/dev/null
}

v6='listen = 3000'
v4='listen = "0.0.0.0:3000"'
udp='listen = "udp:0.0.0.0:3000"'
blocks='service.NonBlocking = "no"'
fds="$v6\nhandover = \"fds\""
other='user = "worker"'
echo '# the machine is up'
depmod
useradd --create-home --uid 1500 worker
systemctl start user@1500
tries=0
until [ -S /run/user/1500/bus ]; do
    tries=$((tries + 1))
    if [ $tries = 600 ]; then
        echo 'Bail out! an ordinary user has no bus'
        journalctl -b -o cat | sed 's/^/# /'
        exit 1
    fi
    sleep 0.1
done

# A Node program takes a second to start here, so most programs are Python.
of_the_system() {
    owner=root folder=/srv/web
    mkdir -p $folder
    case $scope in
    1)
        loses_nothing 'a program of root' python.py "$v4"
        loses_nothing 'a program of another user' plain.js "$v6\n$other"
        loses_nothing 'a program with DynamicUser=' python.py "$v4\nservice.DynamicUser = true"
        loses_nothing 'threads in accept' threads.py "$v4\n$other\n$blocks"
        loses_nothing 'many processes' prefork.py "$v4\n$other"
        loses_nothing 'a program that waits for datagrams' datagrams.py "$udp\n$other\n$blocks"
        loses_nothing 'a program with handover = "fds" and a filter that kills' jail.py "$fds\n$other"
        ;;
    2)
        loses_nothing 'a program of root' python.py "$v4"
        loses_nothing 'threads in accept' threads.py "$v4\n$other\n$blocks"
        loses_nothing 'a program that waits for datagrams' datagrams.py "$udp\n$other\n$blocks"
        loses_nothing 'a program with handover = "fds" and a filter that kills' jail.py "$fds\n$other"
        ;;
    3)
        is_refused 'a program of root that binds is refused' python.py "$v4"
        cannot_drain 'a program with handover = "fds" is not drained, and the journal says so' jail.py "$fds"
        ;;
    0)
        # The everyday tests cover this scope, except that in a container the filters of the units cannot be suspended. So
        # here the units get their filters.
        rm /etc/systemd/system/service.d/quick.conf
        loses_nothing 'threads in accept, in a sandbox' threads.py "$v4\n$other\n$blocks"
        ;;
    esac
}

of_a_user() {
    owner=worker folder=/home/worker
    case $scope in
    1)
        loses_nothing 'below systemd --user, a program that binds' python.py "$v4"
        loses_nothing 'below systemd --user, threads in accept' threads.py "$v4\n$blocks"
        loses_nothing 'below systemd --user, a program that waits for datagrams' datagrams.py "$udp\n$blocks"
        loses_nothing 'below systemd --user, a program with handover = "fds"' jail.py "$fds"
        cannot_drain 'below systemd --user, children of the program keep accepting, and the journal says so' prefork.py "$v4" 'keeps accepting'
        ;;
    2)
        is_refused 'below systemd --user, a program that binds is refused' python.py "$v4"
        cannot_drain 'below systemd --user, a program with handover = "fds" is not drained, and the journal says so' jail.py "$fds"
        ;;
    0) loses_nothing 'below systemd --user, threads in accept' threads.py "$v4\n$blocks" ;;
    esac
}

# Scope 3 comes last, because it cannot be changed any more.
for scope in 1 2 0 3; do
    echo $scope >/proc/sys/kernel/yama/ptrace_scope
    of_the_system
    of_a_user
done
echo "1..$number"
