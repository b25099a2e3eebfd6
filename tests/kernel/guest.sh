#!/bin/sh
# What a distribution's kernel changes, tried in a virtual machine: the Yama module restricts ptrace(2), and no
# container's seccomp filter is above the drain, so it can put those of programs aside.
#
# Prints a line of TAP for each thing that must be true, then switches off.
set -u
export SYSTEMD_COLORS=0
number=0

verdict() { # OK|NOT WHAT
    number=$((number + 1))
    case $1 in
    0) echo "ok $number - scope $scope: $2" ;;
    *)
        echo "not ok $number - scope $scope: $2"
        journalctl -b -n 30 -o cat | sed 's/^/# /'
        ;;
    esac
}

user() { # COMMAND, as an ordinary user in a login
    login='XDG_RUNTIME_DIR=/run/user/1500 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus'
    runuser -u worker -- sh -c "cd; $login $1"
}

manager() { # COMMAND, at the manager that the cluster belongs to
    if [ "$owner" = worker ]; then user "$1 --user $2"; else eval "$1 $2"; fi
}

write() { # SCRIPT LINES
    cp "/vm/$1" "$folder/"
    printf '[[apps]]\nname = "web"\nscript = "%s"\ninstances = 2\nsettle = 0\n%b\n' "$1" "$2" >"$folder/ecosystem.toml"
}

# Reloads under load, and not one request is lost, nor does an instance say that it could not drain.
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
    verdict $result "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# What cannot be is refused, and it is said what helps.
is_refused() { # WHAT SCRIPT LINES
    write "$2" "$3"
    manager rsgen "install $folder/ecosystem.toml" >/run/said 2>&1
    status=$?
    sed 's/^/# /' /run/said
    [ $status = 1 ] && grep -q "kernel.yama.ptrace_scope. is $scope" /run/said && grep -q 'handover = "fds"' /run/said
    verdict $? "$1"
    manager rsgen 'uninstall web' >/dev/null
}

# It serves and is reloaded, and says that requests may be lost then.
cannot_drain() { # WHAT SCRIPT LINES [WORDS]
    write "$2" "$3"
    journalctl --rotate --vacuum-time=1s >/dev/null 2>&1
    manager rsgen "install $folder/ecosystem.toml" >/dev/null && manager rsgen 'reload web' >/dev/null &&
        journalctl -b -o cat | grep "${4:-stops without a drain}.*kernel.yama.ptrace_scope. is $scope" >/dev/null
    verdict $? "$1"
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
        cannot_drain 'one with the socket passed is not drained, and says so' jail.py "$fds"
        continue
    fi
    loses_nothing 'a program of root' plain.js "$listen"
    loses_nothing 'one of another user' plain.js "$listen\nuser = \"worker\""
    loses_nothing 'one that changes its name with each start' plain.js "$listen\nservice.DynamicUser = true"
    loses_nothing 'threads in accept' threads.py "$v4\nuser = \"worker\""
    loses_nothing 'many processes' prefork.py "$v4\nuser = \"worker\""
    loses_nothing 'one with the socket passed, and a filter that kills' jail.py "$fds\nuser = \"worker\""

    owner=worker folder=/home/worker
    case $scope in
    0 | 1)
        loses_nothing 'below systemd --user, a program that binds' plain.js "$listen"
        loses_nothing 'below systemd --user, threads in accept' threads.py "$v4\nservice.NonBlocking = \"no\""
        loses_nothing 'below systemd --user, one with the socket passed' jail.py "$fds"
        [ $scope = 0 ] ||
            cannot_drain 'below systemd --user, children of the program go on, and say so' prefork.py "$v4" 'goes on accepting'
        ;;
    2)
        is_refused 'below systemd --user, one that binds is refused' plain.js "$listen"
        cannot_drain 'below systemd --user, one with the socket passed is not drained, and says so' jail.py "$fds"
        ;;
    esac
done
echo "1..$number"
