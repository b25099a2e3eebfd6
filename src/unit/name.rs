//! Names of units, see systemd.unit(5): makes `NAME.service`, `NAME.socket`, `NAME@N.service` and the others from an
//! app's name, and splits them again. No other file does either.

#[cfg(test)]
mod tests;

use std::fmt;

use super::Fault;

/// systemd allows 255 bytes for a whole unit name; this leaves room for `@1023.service`.
const LONGEST: usize = 200;

/// The part before the `@` in the names of units that reload an app.
const RELOADER: &str = "rsgen-reload";
/// The part before the `@` in the names of units that scale an app.
const SCALER: &str = "rsgen-scale";

const SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".scope",
    ".device",
];

/// Checks that an app can have this name, from which the names of its units are made.
///
/// # Errors
/// When it cannot.
pub fn check(name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(Fault::new(
            "the name is empty",
            "write a short word, e.g. `web`",
        ));
    }
    if name.len() > LONGEST {
        return Err(Fault::new(
            format!("the name is {} bytes long", name.len()),
            format!("at most {LONGEST} fit a unit name"),
        ));
    }
    if let Some(suffix) = SUFFIXES.iter().find(|s| name.ends_with(**s)) {
        return Err(Fault::new(
            format!("`{name}` ends in `{suffix}`"),
            "leave the ending out; rsgen adds it",
        ));
    }
    if let Some(c) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c))
    {
        return Err(Fault::new(
            format!("`{name}` cannot be the name of a unit because of `{c}`"),
            "use letters, digits, `_`, `-` and `.`",
        ));
    }
    if name.starts_with(['-', '.']) {
        return Err(Fault::new(
            format!("`{name}` cannot be the name of a unit"),
            "start it with a letter or a digit",
        ));
    }
    if name == "all" {
        return Err(Fault::new(
            "`all` stands for every app on the command line",
            "choose another name",
        ));
    }
    for (reserved, what) in [(RELOADER, "reload"), (SCALER, "scale")] {
        if name == reserved {
            return Err(Fault::new(
                format!("`{reserved}` is reserved for units that {what} apps"),
                "choose another name",
            ));
        }
    }
    if name == "drain" {
        return Err(Fault::new(
            "`drain` is reserved for the folder `/run/rsgen/drain`",
            "choose another name",
        ));
    }
    Ok(())
}

/// Makes the names of an app's units. Code that concerns every socket of the app calls [`Units::sockets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units<'a> {
    app: &'a str,
}

impl<'a> Units<'a> {
    /// The units of this app.
    #[must_use]
    pub const fn of(app: &'a str) -> Self {
        Self { app }
    }

    /// `NAME.service`: the cluster unit.
    #[must_use]
    pub fn cluster(self) -> String {
        format!("{}.service", self.app)
    }

    /// `NAME.socket`: the unit of all addresses that the app listens on.
    #[must_use]
    pub fn socket(self) -> String {
        format!("{}.socket", self.app)
    }

    /// `NAME:2.socket`: a second unit of the app's addresses, for those that the app was given while it served. No app has a name
    /// with a colon.
    #[must_use]
    pub fn second_socket(self) -> String {
        format!("{}:2.socket", self.app)
    }

    /// `NAME:2.service`: the service that a socket unit names while it is being opened. systemd does not
    /// start a socket with an active service, such as the cluster unit.
    #[must_use]
    pub fn opener(self) -> String {
        format!("{}:2.service", self.app)
    }

    /// Every socket unit that the app may have.
    #[must_use]
    pub fn sockets(self) -> Vec<String> {
        vec![self.socket(), self.second_socket()]
    }

    /// `NAME@.socket`: the template of the listeners, where each instance has its own.
    #[must_use]
    pub fn listener_template(self) -> String {
        format!("{}@.socket", self.app)
    }

    /// `NAME@N.socket`.
    #[must_use]
    pub fn listener(self, number: u32) -> String {
        format!("{}@{number}.socket", self.app)
    }

    /// A glob for the listeners that are loaded.
    #[must_use]
    pub fn listeners(self) -> String {
        format!("{}@*.socket", self.app)
    }

    /// The listener of the instance that a template is used for, as the template names it.
    #[must_use]
    pub fn own_listener(self) -> String {
        format!("{}@%i.socket", self.app)
    }

    /// `NAME:join@.service`: the template of the units that add a listener to those of the app. No app has a name with a colon.
    #[must_use]
    pub fn join_template(self) -> String {
        format!("{}:join@.service", self.app)
    }

    /// The unit that adds the listener of the instance that a template is used for.
    #[must_use]
    pub fn own_join(self) -> String {
        format!("{}:join@%i.service", self.app)
    }

    /// `NAME:join@N.service`.
    #[must_use]
    pub fn join(self, number: u32) -> String {
        format!("{}:join@{number}.service", self.app)
    }

    /// A glob for such units that are loaded.
    #[must_use]
    pub fn joins(self) -> String {
        format!("{}:join@*.service", self.app)
    }

    /// `NAME.timer`: the unit of the app's schedule.
    #[must_use]
    pub fn timer(self) -> String {
        format!("{}.timer", self.app)
    }

    /// `rsgen-reload@NAME.service`: the unit that the timer starts to reload the app.
    #[must_use]
    pub fn reloader(self) -> String {
        format!("{RELOADER}@{}.service", self.app)
    }

    /// `rsgen-scale@NAME:NUMBER.service`: the unit that brings the app to a number of instances, for a user who may start that unit.
    #[must_use]
    pub fn scaler(self, number: impl fmt::Display) -> String {
        format!("{SCALER}@{}:{number}.service", self.app)
    }

    /// A glob for the loaded units of that kind, whatever their number.
    #[must_use]
    pub fn scalers(self) -> String {
        format!("{SCALER}@{}:*.service", self.app)
    }

    /// `NAME@.service`: the template of the instances.
    #[must_use]
    pub fn template(self) -> String {
        format!("{}@.service", self.app)
    }

    /// `NAME@N.service`.
    #[must_use]
    pub fn instance(self, number: u32) -> String {
        format!("{}@{number}.service", self.app)
    }

    /// `NAME:rehearsal-N@0.service`: the unit of a rehearsal. No app can have a name with a colon, so it cannot be a
    /// unit of another app. As in the first instance, `%i` is 0 in this unit.
    #[must_use]
    pub fn rehearsal(self, number: u32) -> String {
        format!("{}:rehearsal-{number}@0.service", self.app)
    }

    /// The drop-in folders of the unit of a rehearsal, and of the template of the instances, see systemd.unit(5).
    #[must_use]
    pub fn drop_ins(self, number: u32) -> (String, String) {
        let of = |unit: String| format!("{unit}.d");
        (of(self.rehearsal(number)), of(self.template()))
    }

    /// A glob for the loaded instances, see `ListUnitsByPatterns` in org.freedesktop.systemd1(5). For a name that
    /// matches without being an instance, [`Units::number`] returns `None`.
    #[must_use]
    pub fn instances(self) -> String {
        format!("{}@*.service", self.app)
    }

    /// The same glob, quoted for a shell.
    #[must_use]
    pub fn instances_typed(self) -> String {
        format!("'{}@*'", self.app)
    }

    /// `NAME:watch.service`: reloads the app when its files change. No app can have a name with a colon, so this cannot
    /// be a unit of another app.
    #[must_use]
    pub fn watch(self) -> String {
        format!("{}:watch.service", self.app)
    }

    /// `NAME:brake.service`: runs while instances come up, and ends the restarts of an instance that systemd
    /// cannot run any command of.
    #[must_use]
    pub fn brake(self) -> String {
        format!("{}:brake.service", self.app)
    }

    /// `NAME:recycle.service`: replaces instances that use too much memory or have run for too long.
    #[must_use]
    pub fn recycler(self) -> String {
        format!("{}:recycle.service", self.app)
    }

    /// `NAME:recycle.timer`: starts that unit repeatedly while the app is active.
    #[must_use]
    pub fn recycle_timer(self) -> String {
        format!("{}:recycle.timer", self.app)
    }

    /// `NAME:pause.service`: exists while the app is paused, in /run.
    #[must_use]
    pub fn pause(self) -> String {
        format!("{}:pause.service", self.app)
    }

    /// The units beside the instances and the schedule that run a command of rsgen.
    #[must_use]
    pub fn beside(self) -> Vec<String> {
        vec![
            self.reloader(),
            self.watch(),
            self.brake(),
            self.recycler(),
            self.recycle_timer(),
        ]
    }

    /// Every unit of the app that may be a file.
    #[must_use]
    pub fn files(self) -> Vec<String> {
        let mut files = self.sockets();
        files.extend([self.cluster(), self.template()]);
        files.push(self.timer());
        files.extend(self.beside());
        files.extend([self.listener_template(), self.join_template()]);
        files
    }

    /// `NAME.service.wants`: the folder of links by which the cluster unit wants its instances.
    #[must_use]
    pub fn wants(self) -> String {
        format!("{}.wants", self.cluster())
    }

    /// The socket and the cluster unit, as arguments of systemctl(1) for commands on the whole app.
    #[must_use]
    pub fn whole(self) -> String {
        format!("{} {}", self.socket(), self.cluster())
    }

    /// Returns the number of the instance with this name; `None` for any other unit.
    #[must_use]
    pub fn number(self, unit: &str) -> Option<u32> {
        match parse(unit) {
            Some((app, Member::Instance(number))) if app == self.app => Some(number),
            _ => None,
        }
    }
}

/// A unit of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `NAME.service`.
    Cluster,
    /// `NAME.socket` or `NAME:2.socket`.
    Socket,
    /// `NAME@.service`.
    Template,
    /// `NAME@N.service`.
    Instance(u32),
}

/// The unit of a user's own manager, see user@.service(5).
#[must_use]
pub fn manager_of(user: u32) -> String {
    format!("user@{user}.service")
}

/// Splits a unit's name into its app and the kind of unit; `None` for a name that no unit of an app can have.
#[must_use]
pub fn parse(unit: &str) -> Option<(&str, Member)> {
    match unit.strip_suffix(".socket") {
        Some(stem) => {
            let app = stem.strip_suffix(":2").unwrap_or(stem);
            is_name(app).then_some((app, Member::Socket))
        }
        None => of_stem(unit.strip_suffix(".service")?),
    }
}

/// Does the same as [`parse`] for the name of a service with or without `.service`, as systemctl(1) accepts it.
#[must_use]
pub fn parse_service(word: &str) -> Option<(&str, Member)> {
    of_stem(word.strip_suffix(".service").unwrap_or(word))
}

/// Returns the app that a unit of any kind belongs to, and the number of its instance if it is one's own.
#[must_use]
pub fn owner(unit: &str) -> Option<(&str, Option<u32>)> {
    let kinds = [".service", ".socket", ".timer"];
    let stem = kinds.iter().find_map(|kind| unit.strip_suffix(kind))?;
    let reloaded = stem.strip_prefix(RELOADER);
    if let Some(app) = reloaded.and_then(|rest| rest.strip_prefix('@')) {
        return is_name(app).then_some((app, None));
    }
    let (name, number) = match stem.split_once('@') {
        Some((name, number)) => (name, Some(canonical(number)?)),
        None => (stem, None),
    };
    let app = name.split_once(':').map_or(name, |(app, _)| app);
    is_name(app).then_some((app, number))
}

fn of_stem(stem: &str) -> Option<(&str, Member)> {
    let (app, member) = match stem.split_once('@') {
        None => (stem, Member::Cluster),
        Some((app, "")) => (app, Member::Template),
        Some((app, number)) => (app, Member::Instance(canonical(number)?)),
    };
    is_name(app).then_some((app, member))
}

/// Parses the number of an instance. `web@07.service` is another unit than `web@7.service`, and no unit of
/// rsgen has such a name.
fn canonical(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn is_name(app: &str) -> bool {
    check(app).is_ok()
}
