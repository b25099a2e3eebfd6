//! Whether an app can have `balance = "even"` or `"source"` on this host, and what that means here.

use crate::balance;
use crate::ecosystem::App;
use crate::ecosystem::values::{Listen, Place, SocketKind};
use crate::layout::{Layout, Scope};
use crate::output::{Notice, Sink};
use crate::unit::Fault;

/// What every refusal offers instead.
const INSTEAD: &str = "write `balance = \"shared\"`, or leave the key out: one listener for all";

/// What keeps an app from it.
pub(super) fn fault(layout: &Layout, app: &App) -> Option<Fault> {
    if !app.is_even() {
        return None;
    }
    let because = |why: String| {
        let (name, balance) = (&app.name, app.balance_word().unwrap_or_default());
        let message = format!("`{name}` cannot have `balance = \"{balance}\"`: {why}");
        Some(Fault::new(message, INSTEAD))
    };
    if let Some(listen) = app.listen.iter().find(|listen| !is_tcp(listen)) {
        return because(format!("it is for TCP, and `{listen}` is not"));
    }
    if layout.scope == Scope::User {
        return because("only root may use bpf(2)".to_owned());
    }
    if app.probe.is_asked() && app.steered().is_empty() {
        let message = format!(
            "the health of `{}` cannot be checked: it listens on no IPv4 address",
            app.name
        );
        let help = "add an address of IPv4 to `listen`, or leave `health` and `health_command` out";
        return Some(Fault::new(message, help));
    }
    // A user who may only read a file may not load a program either.
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    balance::probe(app.is_by_source())
        .err()
        .and_then(|error| because(format!("the kernel refuses a selector: {error}")))
}

fn is_tcp(listen: &Listen) -> bool {
    listen.kind == SocketKind::Stream && !matches!(listen.place, Place::Path(_))
}

/// Tells how connections are spread over the instances of an app that does not leave it to chance. Of an app that cannot have
/// its balance, the fault is reported instead.
pub(super) fn tell(sink: &dyn Sink, layout: &Layout, app: &App) {
    if !app.is_even() || fault(layout, app).is_some() {
        return;
    }
    let is_blind = || balance::probe(false).is_ok_and(|sees_stuck| !sees_stuck);
    let text = if app.is_by_source() {
        "the client's address chooses the instance that gets a connection"
    } else if is_blind() {
        "connections go to the instances in turn; without /sys/kernel/btf/vmlinux, even to a stuck one"
    } else {
        "connections go to the instances in turn"
    };
    sink.notice(&Notice::Noted(&app.name, text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn health_needs_an_address_at_which_an_instance_can_be_asked() {
        let text =
            "[[apps]]\nscript = \"x\"\nlisten = \"[::1]:80\"\nbalance = \"even\"\nhealth = \"/\"\n";
        let told = |text: &str| {
            let (apps, report) = parse("eco.toml", text);
            assert!(!report.has_errors(), "{}", report.render(false));
            let fault = fault(&Layout::system("/".as_ref()), &apps[0]);
            fault.map_or(String::new(), |fault| fault.message)
        };
        let none = "it listens on no IPv4 address";
        assert!(told(text).ends_with(none), "{}", told(text));
        // A single answer is enough, and an app without `health` needs none.
        for asked in [
            text.replace("\"[::1]:80\"", "[\"[::1]:80\", \"127.0.0.1:80\"]"),
            text.replace("health = \"/\"\n", ""),
        ] {
            assert!(!told(&asked).ends_with(none), "{}", told(&asked));
        }
    }

    fn fault_of(listen: &str, balance: &str, layout: &Layout) -> Option<String> {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = {listen}\nbalance = \"{balance}\"\n"
        );
        let (apps, report) = parse("eco.toml", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        fault(layout, &apps[0]).map(|fault| fault.message)
    }

    #[test]
    fn what_no_selector_can_choose_for_is_refused_with_the_reason() {
        let system = Layout::system("/".as_ref());
        let user = Layout::user("/home/a/.config".as_ref(), "/run/user/1".as_ref());
        for (listen, layout, why) in [
            ("\"udp:53\"", &system, "it is for TCP, and `udp:53` is not"),
            (
                "[3000, \"/run/a.sock\"]",
                &system,
                "it is for TCP, and `/run/a.sock` is not",
            ),
            ("3000", &user, "only root may use bpf(2)"),
        ] {
            let told = fault_of(listen, "even", layout).unwrap();
            assert!(told.ends_with(why), "{told}");
            assert_eq!(fault_of(listen, "shared", layout), None);
            assert_eq!(fault_of(listen, "auto", layout), None);
        }
    }
}
