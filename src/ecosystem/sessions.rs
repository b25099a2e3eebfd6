//! Programs with clients that have to return to the instance that knows them, which a shared socket cannot guarantee.

use std::path::Path;

use serde_json::Value;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::Probe;
use super::values::Instances;

/// More bytes than any package.json has.
const LONGEST: usize = 1 << 20;

/// The remedy, which an import gives as well.
pub const REMEDY: &str = "if clients connect without a proxy, write `balance = \"source\"`, which keeps each client with one instance; or write `instances = 1`; or make the clients skip polling, `transports: [\"websocket\"]`; or give each instance a port of its own, `listen = []` and `env.PORT = \"{3000 + i}\"`, behind a load balancer with sticky sessions";

/// Whether a package.json names socket.io among its dependencies.
#[must_use]
pub fn uses_socket_io(package: &str) -> bool {
    let package: Option<Value> = (package.len() <= LONGEST)
        .then(|| serde_json::from_str(package).ok())
        .flatten();
    let version = package
        .as_ref()
        .and_then(|p| p.get("dependencies")?.get("socket.io"));
    version.is_some_and(Value::is_string)
}

/// The fault of several instances of such a program behind one address.
#[must_use]
pub fn fault(app: &App) -> Option<String> {
    let is_one = app.instances == Instances::Exactly(1);
    // Without a socket each instance has a port of its own.
    let shares = !app.is_listen_given || !app.listen.is_empty();
    (!is_one && shares && !app.is_by_source()).then(|| {
        format!(
            "`{}` uses socket.io, and its clients begin with polling: all requests of a session have to reach the same instance, but with `instances = {}` any of them may get them",
            app.name, app.instances
        )
    })
}

pub(super) fn warn(app: &App, cwd: &Path, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let Some(fault) = fault(app) else { return };
    // The package of the script, if that is in a folder of its own.
    let of_script = Path::new(&app.program.script).parent().unwrap_or(cwd);
    let above = of_script
        .ancestors()
        .take_while(|folder| folder.starts_with(cwd));
    let mut folders = above.chain([cwd]);
    let package = folders.find_map(|folder| probe.text(&folder.join("package.json")));
    if package.is_some_and(|package| uses_socket_io(&package)) {
        faults.push(Diagnostic::warning(app.script_span.clone(), fault).help(REMEDY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn a_package_that_depends_on_socket_io_is_known() {
        for (package, uses) in [
            (
                r#"{ "dependencies": { "express": "4", "socket.io": "^4.8.1" } }"#,
                true,
            ),
            (r#"{ "dependencies": { "socket.io-client": "4" } }"#, false),
            (r#"{ "devDependencies": { "socket.io": "4" } }"#, false),
            (r#"{ "dependencies": ["socket.io"] }"#, false),
            ("", false),
            ("null", false),
        ] {
            assert_eq!(uses_socket_io(package), uses, "{package}");
        }
    }

    #[test]
    fn only_several_instances_that_share_an_address_lose_a_session() {
        let is_told = |lines: &str| {
            let text = format!("[[apps]]\nname = \"chat\"\nscript = \"x\"\n{lines}\n");
            let (apps, _) = parse("eco.toml", &text);
            apps.iter().any(|app| fault(app).is_some())
        };
        for lines in [
            "listen = 3000\ninstances = 2",
            "listen = 3000\ninstances = \"max\"",
            "instances = 4",
        ] {
            assert!(is_told(lines), "{lines}");
        }
        for lines in [
            "listen = 3000",
            "listen = []\ninstances = 4",
            "listen = 3000\ninstances = 2\nbalance = \"source\"",
        ] {
            assert!(!is_told(lines), "{lines}");
        }
    }
}
