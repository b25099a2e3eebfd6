#!/bin/sh
# Tests the drain and the handover on a distribution's kernel, in a virtual machine: the Yama module restricts ptrace(2),
# and the drain is under no seccomp filter of a container, so it can suspend the filters of programs.
#
# Prints a line of TAP for each check, then switches the machine off.
set -u
export SYSTEMD_COLORS=0
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
    printf '[[apps]]\nname = "web"\nscript = "%s"\ninstances = 2\nsettle = 0\n%b\n' "$1" "$2" >"$folder/ecosystem.toml"
}

# Reloads under load: no request is lost, and no instance reports that it could not drain.
loses_nothing() { # WHAT SCRIPT LINES
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    result=1
    if manager rsgen "install $folder/ecosystem.toml" >/dev/null; then
        rm -f /run/enough
        /vm/load --url http://127.0.0.1:3000/ --clients 10 --until-file /run/enough >/run/report &
        manager rsgen 'reload web' >/dev/null
        result=$?
        touch /run/enough
        wait $! || result=1
        sed 's/^/# /' /run/report
        echo
        if journalctl -b -o cat | grep -E 'goes on accepting|without a drain'; then result=1; fi
    fi
    report $result "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# The install is refused, and the message names the reason and a remedy.
is_refused() { # WHAT SCRIPT LINES
    write "$2" "$3"
    manager rsgen "install $folder/ecosystem.toml" >/run/said 2>&1
    status=$?
    sed 's/^/# /' /run/said
    [ $status = 1 ] && grep -q "kernel.yama.ptrace_scope. is $scope" /run/said && grep -q 'handover = "fds"' /run/said
    report $? "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# The app serves and is reloaded, and the journal says that it does not drain.
cannot_drain() { # WHAT SCRIPT LINES [WORDS]
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    manager rsgen "install $folder/ecosystem.toml" >/dev/null && manager rsgen 'reload web' >/dev/null &&
        journalctl -b -o cat | grep "${4:-stops without a drain}.*kernel.yama.ptrace_scope. is $scope" >/dev/null
    report $? "$1"
    manager rsgen 'uninstall web' >/dev/null
}

listen='listen = 3000'
v4='listen = "0.0.0.0:3000"'
fds="$listen\nhandover = \"fds\""
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

for scope in 1 2 0 3; do
    echo $scope >/proc/sys/kernel/yama/ptrace_scope
    owner=root folder=/srv/web
    mkdir -p $folder
    if [ $scope = 3 ]; then
        is_refused 'a program of root that binds is refused' plain.js "$listen"
        cannot_drain 'a program with handover = "fds" is not drained, and the journal says so' jail.py "$fds"
        continue
    fi
    loses_nothing 'a program of root' plain.js "$listen"
    loses_nothing 'a program of another user' plain.js "$listen\nuser = \"worker\""
    loses_nothing 'a program with DynamicUser=' plain.js "$listen\nservice.DynamicUser = true"
    loses_nothing 'threads in accept' threads.py "$v4\nuser = \"worker\""
    loses_nothing 'many processes' prefork.py "$v4\nuser = \"worker\""
    loses_nothing 'a program with handover = "fds" and a filter that kills' jail.py "$fds\nuser = \"worker\""

    owner=worker folder=/home/worker
    case $scope in
    0 | 1)
        loses_nothing 'below systemd --user, a program that binds' plain.js "$listen"
        loses_nothing 'below systemd --user, threads in accept' threads.py "$v4\nservice.NonBlocking = \"no\""
        loses_nothing 'below systemd --user, a program with handover = "fds"' jail.py "$fds"
        [ $scope = 0 ] ||
            cannot_drain 'below systemd --user, children of the program go on accepting, and the journal says so' prefork.py "$v4" 'goes on accepting'
        ;;
    2)
        is_refused 'below systemd --user, a program that binds is refused' plain.js "$listen"
        cannot_drain 'below systemd --user, a program with handover = "fds" is not drained, and the journal says so' jail.py "$fds"
        ;;
    esac
done
echo "1..$number"
