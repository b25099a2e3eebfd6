//! Names of units, see systemd.unit(5): makes `NAME.service`, `NAME.socket`, `NAME@N.service` and the others from an
//! app's name, and splits them again. No other file does either.

use super::Fault;

/// systemd allows 255 bytes for a whole unit name; this leaves room for `@1023.service`.
const LONGEST: usize = 200;

/// The part before the `@` in the names of units that reload an app.
const RELOADER: &str = "rsgen-reload";

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
    if name == RELOADER {
        return Err(Fault::new(
            format!("`{RELOADER}` is reserved for units that reload apps"),
            "choose another name",
        ));
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

    /// Every socket unit of the app.
    #[must_use]
    pub fn sockets(self) -> Vec<String> {
        vec![self.socket()]
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

    /// The listener of whichever instance a template is used for, as the template names it.
    #[must_use]
    pub fn own_listener(self) -> String {
        format!("{}@%i.socket", self.app)
    }

    /// `NAME:join@.service`: the template of the units that add a listener to those of the app. No app has a name with a colon.
    #[must_use]
    pub fn join_template(self) -> String {
        format!("{}:join@.service", self.app)
    }

    /// The unit that adds the listener of whichever instance a template is used for.
    #[must_use]
    pub fn own_join(self) -> String {
        format!("{}:join@%i.service", self.app)
    }

    /// `NAME.timer`: the unit of the app's schedule.
    #[must_use]
    pub fn timer(self) -> String {
        format!("{}.timer", self.app)
    }

    /// `rsgen-reload@NAME.service`: the unit that the timer starts to have the app reloaded.
    #[must_use]
    pub fn reloader(self) -> String {
        format!("{RELOADER}@{}.service", self.app)
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

    /// Every unit of the app that may be a file.
    #[must_use]
    pub fn files(self) -> Vec<String> {
        let mut files = self.sockets();
        files.extend([self.cluster(), self.template()]);
        files.extend([self.timer(), self.reloader(), self.watch()]);
        files.extend([self.listener_template(), self.join_template()]);
        files
    }

    /// `NAME.service.wants`: the folder of links by which the cluster unit wants its instances.
    #[must_use]
    pub fn wants(self) -> String {
        format!("{}.wants", self.cluster())
    }

    /// The sockets and the cluster unit, as arguments of systemctl(1) for what affects the whole app.
    #[must_use]
    pub fn whole(self) -> String {
        format!("{} {}", self.sockets().join(" "), self.cluster())
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
    /// `NAME.socket`.
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
        Some(app) => is_name(app).then_some((app, Member::Socket)),
        None => of_stem(unit.strip_suffix(".service")?),
    }
}

/// Does the same as [`parse`] for the name of a service with or without `.service`, as systemctl(1) accepts it.
#[must_use]
pub fn parse_service(word: &str) -> Option<(&str, Member)> {
    of_stem(word.strip_suffix(".service").unwrap_or(word))
}

fn of_stem(stem: &str) -> Option<(&str, Member)> {
    let (app, member) = match stem.split_once('@') {
        None => (stem, Member::Cluster),
        Some((app, "")) => (app, Member::Template),
        Some((app, number)) => (app, Member::Instance(canonical(number)?)),
    };
    is_name(app).then_some((app, member))
}

/// Parses the number of an instance. `web@07.service` is another unit than `web@7.service`, and no unit of rsgen's has
/// such a name.
fn canonical(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn is_name(app: &str) -> bool {
    check(app).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_says_whose_unit_it_is(app in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", number in any::<u32>()) {
            prop_assume!(check(&app).is_ok());
            let units = Units::of(&app);
            let member = |unit: &str| {
                parse(unit).filter(|(of, _)| *of == app).map(|(_, member)| member)
            };
            prop_assert_eq!(member(&units.cluster()), Some(Member::Cluster));
            prop_assert_eq!(member(&units.template()), Some(Member::Template));
            prop_assert_eq!(member(&units.instance(number)), Some(Member::Instance(number)));
            prop_assert_eq!(units.number(&units.instance(number)), Some(number));
            for socket in units.sockets() {
                prop_assert_eq!(member(&socket), Some(Member::Socket));
            }
        }

        #[test]
        fn only_the_names_that_are_made_are_read(unit in "(web|we|-b|)@?(0|7|07|\\+7|-1|4294967296|x|)(\\.service|\\.socket|\\.timer|)") {
            let made = parse(&unit).map(|(app, member)| {
                let units = Units::of(app);
                match member {
                    Member::Cluster => units.cluster(),
                    Member::Socket => units.socket(),
                    Member::Template => units.template(),
                    Member::Instance(number) => units.instance(number),
                }
            });
            prop_assert!(made.is_none_or(|made| made == unit));
        }
    }

    #[test]
    fn an_instance_of_another_app_has_no_number_here() {
        let web = Units::of("web");
        assert_eq!(web.number("web@3.service"), Some(3));
        for other in [
            "web2@3.service",
            "my-web@3.service",
            "web@.service",
            "web@x.service",
            "web@03.service",
            "web.service",
            "web@3.socket",
            "web@3",
        ] {
            assert_eq!(web.number(other), None, "{other}");
        }
        assert_eq!(parse_service("web@3"), Some(("web", Member::Instance(3))));
        assert_eq!(parse_service("web"), Some(("web", Member::Cluster)));
        assert_eq!(parse_service("web@x"), None);
        for unit in ["-b@1.service", "a b.service", "all.socket"] {
            assert_eq!(parse(unit), None, "{unit}");
        }
    }

    #[test]
    fn several_units_of_an_app_are_named_for_systemd() {
        let web = Units::of("web");
        assert_eq!(web.instances(), "web@*.service");
        assert_eq!(web.whole(), "web.socket web.service");
    }

    #[test]
    fn only_what_systemd_takes_as_a_unit_name_is_a_name() {
        let longest = "x".repeat(LONGEST);
        for good in ["web", "my-app_2.0", "A", &longest] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "web@1",
            "a b",
            "web.service",
            "-x",
            ".x",
            "a/b",
            "ü",
            "a:b",
            "a\nb",
            "%i",
            "all",
            "drain",
            "rsgen-reload",
            &"x".repeat(201),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_manager_and_the_drop_ins_of_a_rehearsal_have_names() {
        assert_eq!(manager_of(1000), "user@1000.service");
        let own = Units::of("web").drop_ins(7).0;
        assert_eq!(own, "web:rehearsal-7@0.service.d");
    }
}
