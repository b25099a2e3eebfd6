//! Turns errors of zbus, and error replies of systemd and the bus, into the errors of this room.

use super::super::Error;

/// Whether the bus or systemd may be away only for a moment, because the bus restarts or systemd re-executes itself. Then
/// the same call may succeed a moment later.
pub(super) fn is_passing(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::InputOutput(e) => e.kind() != std::io::ErrorKind::TimedOut,
        zbus::Error::Connection(..) | zbus::Error::Handshake(_) => true,
        _ => is_without_systemd(error),
    }
}

/// Whether the bus answered in place of systemd, because systemd was not on it.
pub(super) fn is_without_systemd(error: &zbus::Error) -> bool {
    name_of(error).is_some_and(|name| is_absence(&name))
}

fn is_absence(name: &str) -> bool {
    let Some(short) = name.strip_prefix("org.freedesktop.DBus.Error.") else {
        return false;
    };
    matches!(
        short,
        "NoReply" | "NameHasNoOwner" | "ServiceUnknown" | "Disconnected"
    ) || short.starts_with("Spawn.")
}

/// The name of an error reply. zbus has a type of its own for the names that D-Bus itself defines.
fn name_of(error: &zbus::Error) -> Option<String> {
    match error {
        zbus::Error::MethodError(name, ..) => Some(name.to_string()),
        zbus::Error::FDO(error) => Some(zbus::DBusError::name(error.as_ref()).to_string()),
        _ => None,
    }
}

fn text_of(error: &zbus::Error) -> Option<String> {
    match error {
        zbus::Error::MethodError(_, text, _) => text.clone(),
        zbus::Error::FDO(error) => zbus::DBusError::description(error.as_ref()).map(str::to_owned),
        _ => None,
    }
}

pub(super) fn explain(error: &zbus::Error) -> Error {
    let Some(name) = name_of(error) else {
        let reason = error.to_string();
        return match error {
            zbus::Error::InputOutput(_)
            | zbus::Error::Connection(..)
            | zbus::Error::Handshake(_)
            | zbus::Error::Address(_) => Error::NoBus { reason },
            _ => Error::Refused { reason },
        };
    };
    let reason = text_of(error).unwrap_or_else(|| name.clone());
    match name.as_str() {
        "org.freedesktop.systemd1.NoSuchUnit" | "org.freedesktop.systemd1.LoadFailed" => {
            Error::NoSuchUnit { unit: reason }
        }
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
            Error::AccessDenied { reason }
        }
        name if is_absence(name) => Error::NoBus { reason },
        _ => Error::Refused { reason },
    }
}

/// The error for a failed connection: whatever the reason, rsgen has no bus.
pub(super) fn no_bus(error: &zbus::Error) -> Error {
    match explain(error) {
        Error::Refused { reason } => Error::NoBus { reason },
        other => other,
    }
}
