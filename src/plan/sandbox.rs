//! The sandbox that a unit has by default: the directives for each word of the key `sandbox`.
//!
//! A directive that the user's own table contains is omitted entirely, because lists would be merged, see
//! systemd.exec(5).

use super::Host;
use crate::ecosystem::App;
use crate::ecosystem::values::{Handover, Sandbox};
use crate::layout::Scope;
use crate::unit;

type Line = (&'static str, String);

/// Directives that no server notices. All of them are seccomp filters, which a manager without privileges can set too.
const FILTERS: &[(&str, &str)] = &[
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    (
        "RestrictAddressFamilies",
        "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    ),
];

/// The other directives of `"default"`, for which systemd makes namespaces.
const DEFAULT: &[(&str, &str)] = &[
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectControlGroups", "yes"),
];

/// The filters that `"strict"` adds.
const STRICT_FILTERS: &[(&str, &str)] = &[("RestrictNamespaces", "yes"), ("UMask", "0027")];

/// The directives that `"strict"` adds.
const STRICT: &[(&str, &str)] = &[
    // Only here and not in `"default"`: before systemd 252 this directive allows one device, which forbids all others.
    ("ProtectClock", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectSystem", "full"),
    ("ProtectHome", "read-only"),
    ("ProtectProc", "invisible"),
];

/// System calls of the handover that are in no group of an ordinary service, see `systemd-analyze
/// syscall-filter`.
pub(super) const HANDOVER_CALLS: &str = "seccomp pidfd_open pidfd_getfd process_vm_readv";

/// Returns every directive that a sandbox can contain.
pub fn directives() -> impl Iterator<Item = &'static str> {
    let tables = of(&[FILTERS, DEFAULT, STRICT_FILTERS, STRICT]);
    let more = [
        "NoNewPrivileges",
        "CapabilityBoundingSet",
        "SystemCallFilter",
        "SystemCallErrorNumber",
        "RemoveIPC",
    ];
    tables.into_iter().map(|(name, _)| name).chain(more)
}

/// Returns the lines of an app's sandbox, except those whose directives its own table contains.
pub(super) fn lines(app: &App, scope: Scope, host: Host) -> Vec<Line> {
    let all = match (app.sandbox, scope) {
        (Sandbox::Off, _) => Vec::new(),
        // An app that runs as root may mount file systems, load modules or change owners.
        (Sandbox::Default, Scope::System) if app.is_root() => Vec::new(),
        (Sandbox::Default, Scope::System) => {
            [capabilities(app, host), of(&[FILTERS, DEFAULT])].concat()
        }
        (Sandbox::Strict, Scope::System) => {
            let tables = of(&[FILTERS, DEFAULT, STRICT_FILTERS, STRICT]);
            [capabilities(app, host), tables, calls(app), ipc(app)].concat()
        }
        // In a user's manager the drain runs inside the sandbox, and no predefined list of system calls contains those that it needs.
        (Sandbox::Default, Scope::User) => of(&[FILTERS]),
        (Sandbox::Strict, Scope::User) => of(&[FILTERS, STRICT_FILTERS]),
    };
    // systemd sets this anyway when there are filters, see `NoNewPrivileges=` in systemd.exec(5), but does not show it.
    // With `bind` the unit contains it already.
    let says_so = !all.is_empty() && app.handover != Handover::Bind;
    let new = says_so.then(|| ("NoNewPrivileges", "yes".to_owned()));
    let all = new.into_iter().chain(all);
    let is_free = |directive: &str| {
        !app.service_spans.contains_key(directive) && !contradicts(app, directive)
    };
    all.filter(|(d, _)| is_free(d)).collect()
}

fn of(tables: &[&[(&'static str, &str)]]) -> Vec<Line> {
    let lines = tables.iter().flat_map(|table| table.iter());
    lines.map(|(d, v)| (*d, (*v).to_owned())).collect()
}

/// Returns whether a directive would take away something that the user's own table grants with another directive.
fn contradicts(app: &App, directive: &str) -> bool {
    match directive {
        "ProtectControlGroups" => delegates(app),
        "RestrictRealtime" => app.assigned("CPUSchedulingPolicy").one().is_some(),
        // The user's own filter sets how forbidden calls fail.
        "SystemCallErrorNumber" => app.assigned("SystemCallFilter").is_named(),
        _ => false,
    }
}

/// Returns whether the unit may write to its own control group: `Delegate=` is a boolean, or the list of delegated
/// controllers, see systemd.resource-control(5).
fn delegates(app: &App) -> bool {
    let last = app.assigned("Delegate").one();
    last.is_some_and(|value| unit::boolean(value) != Some(false))
}

/// Returns lines that remove all capabilities except those that the unit grants: systemd would not start a unit that has
/// ambient capabilities outside its bounding set.
fn capabilities(app: &App, host: Host) -> Vec<Line> {
    let mut given: Vec<&str> = Vec::new();
    for value in app.assigned("AmbientCapabilities").list() {
        // Which ones these are depends on the kernel.
        if value.starts_with('~') {
            return Vec::new();
        }
        given.push(value);
    }
    if needs_ptrace(app, host) {
        given.push("CAP_SYS_PTRACE");
    }
    vec![("CapabilityBoundingSet", given.join(" "))]
}

/// Returns whether the helper needs a capability to inspect the program, see `ptrace_scope` of ptrace(2).
pub(super) fn needs_ptrace(app: &App, host: Host) -> bool {
    app.handover == Handover::Bind && host.yama
}

fn calls(app: &App) -> Vec<Line> {
    let more = if app.handover == Handover::Bind {
        HANDOVER_CALLS
    } else {
        ""
    };
    let value = format!("@system-service {more}");
    vec![
        ("SystemCallFilter", value.trim_end().to_owned()),
        ("SystemCallErrorNumber", "EPERM".to_owned()),
    ]
}

/// Returns the directive that makes systemd remove IPC objects of the user, which it refuses to do for root.
fn ipc(app: &App) -> Vec<Line> {
    let lines = (!app.is_root()).then(|| ("RemoveIPC", "yes".to_owned()));
    lines.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    const HOST: Host = Host {
        cpus: 2,
        yama: false,
        status: |_| None,
    };

    fn sandbox_of(keys: &str, scope: Scope, host: Host) -> Vec<String> {
        let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}");
        let (apps, report) = parse("eco.toml", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        let lines = apps.iter().flat_map(|app| lines(app, scope, host));
        lines.map(|(d, v)| format!("{d}={v}")).collect()
    }

    fn of_system(keys: &str) -> Vec<String> {
        sandbox_of(keys, Scope::System, HOST)
    }

    #[test]
    fn no_line_is_of_another_directive() {
        for keys in ["user = \"www\"", "user = \"www\"\nsandbox = \"strict\""] {
            let lines = of_system(keys);
            let named: Vec<&str> = lines.iter().filter_map(|l| l.split('=').next()).collect();
            let unknown = named.iter().find(|name| !directives().any(|d| d == **name));
            assert_eq!(unknown, None, "{keys}");
        }
    }

    #[test]
    fn by_default_those_are_sandboxed_that_do_not_run_as_root() {
        for keys in [
            "",
            "user = \"root\"",
            "user = 0",
            "user = \"www\"\nsandbox = \"off\"",
        ] {
            assert_eq!(of_system(keys), Vec::<String>::new(), "{keys}");
        }
        for keys in ["user = \"www\"", "service.DynamicUser = true", "user = 33"] {
            let lines = of_system(keys);
            assert!(
                lines.contains(&"CapabilityBoundingSet=".to_owned()),
                "{keys}: {lines:?}"
            );
            assert!(
                !lines.iter().any(|l| l.starts_with("ProtectSystem")),
                "{lines:?}"
            );
        }
        assert!(of_system("sandbox = \"strict\"").contains(&"ProtectSystem=full".to_owned()));
    }

    #[test]
    fn a_directive_of_the_users_own_takes_the_place_of_ours() {
        let own = "user = \"www\"\nservice = { RestrictAddressFamilies = \"AF_UNIX\", LockPersonality = false, CapabilityBoundingSet = [] }";
        let lines = of_system(own);
        for directive in [
            "RestrictAddressFamilies",
            "LockPersonality",
            "CapabilityBoundingSet",
        ] {
            assert!(!lines.iter().any(|l| l.starts_with(directive)), "{lines:?}");
        }
        let filter = of_system("sandbox = \"strict\"\nservice.SystemCallFilter = \"~@debug\"");
        assert!(
            !filter
                .iter()
                .any(|l| l.starts_with("SystemCall") && !l.ends_with("=native")),
            "{filter:?}"
        );
    }

    #[test]
    fn what_the_unit_gives_is_not_taken_away() {
        let bounds = |keys: &str, host: Host| {
            let lines = sandbox_of(&format!("user = \"www\"\n{keys}"), Scope::System, host);
            let line = lines
                .iter()
                .find_map(|l| l.strip_prefix("CapabilityBoundingSet="));
            line.map(str::to_owned)
        };
        let yama = Host { yama: true, ..HOST };
        let ambient = "service.AmbientCapabilities = [\"CAP_NET_RAW\", \"CAP_KILL\"]";
        assert_eq!(bounds("", yama).as_deref(), Some("CAP_SYS_PTRACE"));
        assert_eq!(bounds("handover = \"fds\"", yama).as_deref(), Some(""));
        assert_eq!(
            bounds(ambient, HOST).as_deref(),
            Some("CAP_NET_RAW CAP_KILL")
        );
        assert_eq!(
            bounds("service.AmbientCapabilities = \"~CAP_KILL\"", HOST),
            None
        );
        let delegates = of_system("user = \"www\"\nservice.Delegate = true");
        assert!(
            !delegates
                .iter()
                .any(|l| l.starts_with("ProtectControlGroups")),
            "{delegates:?}"
        );
    }

    #[test]
    fn a_scheduling_policy_of_the_users_own_is_not_forbidden() {
        let is_restricted = |keys: &str| {
            let lines = of_system(&format!("user = \"www\"\n{keys}"));
            lines.contains(&"RestrictRealtime=yes".to_owned())
        };
        assert!(is_restricted(""));
        assert!(!is_restricted("service.CPUSchedulingPolicy = \"fifo\""));
    }

    #[test]
    fn a_strict_sandbox_has_the_calls_of_the_handover_and_removes_what_a_user_leaves() {
        let strict = |keys: &str| of_system(&format!("sandbox = \"strict\"\n{keys}"));
        let www = "user = \"www\"";
        let bind = format!("SystemCallFilter=@system-service {HANDOVER_CALLS}");
        for (keys, filter, removes) in [
            (www.to_owned(), bind.as_str(), true),
            (String::new(), &bind, false),
            (
                format!("{www}\nhandover = \"fds\""),
                "SystemCallFilter=@system-service",
                true,
            ),
        ] {
            let lines = strict(&keys);
            let has = |line: &str| lines.iter().any(|l| l == line);
            assert!(has(filter), "{keys}: {lines:?}");
            assert!(has("SystemCallErrorNumber=EPERM"), "{keys}: {lines:?}");
            assert_eq!(has("RemoveIPC=yes"), removes, "{keys}: {lines:?}");
        }
    }

    #[test]
    fn a_users_own_manager_gets_what_it_can_do_without_privileges() {
        for word in ["default", "strict"] {
            let lines = sandbox_of(&format!("sandbox = \"{word}\""), Scope::User, HOST);
            let needs_privileges = |l: &String| {
                l.starts_with("Protect") || l.starts_with("Private") || l.starts_with("Cap")
            };
            assert!(
                !lines.is_empty() && !lines.iter().any(needs_privileges),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn the_oldest_systemd_knows_every_directive() {
        use crate::unit::directive::{BASELINE, Section, find};
        for directive in directives() {
            let known = find(Section::Service, directive);
            assert_eq!(
                known.map(|known| known.since),
                Some(BASELINE),
                "{directive}"
            );
        }
    }
}
