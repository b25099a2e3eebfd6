//! Names of units, see systemd.unit(5): an app's name becomes `NAME.service`, `NAME.socket` and
//! `NAME@N.service`.

/// systemd allows 255 bytes for a whole unit name; this leaves room for `@1023.service`.
const LONGEST: usize = 200;

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

/// Checks that units can be called by this name.
///
/// # Errors
/// `what is wrong: what to write`.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty: write a short word, e.g. `web`".into());
    }
    if name.len() > LONGEST {
        return Err(format!(
            "the name is {} bytes long: at most {LONGEST} fit a unit name",
            name.len()
        ));
    }
    if let Some(suffix) = SUFFIXES.iter().find(|s| name.ends_with(**s)) {
        return Err(format!(
            "`{name}` ends in `{suffix}`: leave it out, it is added by itself"
        ));
    }
    if let Some(c) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c))
    {
        return Err(format!(
            "`{name}` cannot be the name of a unit because of `{c}`: use letters, digits, `_`, `-` and `.`"
        ));
    }
    if name.starts_with(['-', '.']) {
        return Err(format!(
            "`{name}` cannot be the name of a unit: start it with a letter or a digit"
        ));
    }
    if name == "all" {
        return Err("`all` stands for every app on the command line: choose another name".into());
    }
    if name == "drain" {
        return Err(
            "`drain` is where drains of all apps give their word: choose another name".into(),
        );
    }
    Ok(())
}

/// `NAME.service`: the cluster unit.
#[must_use]
pub fn cluster(app: &str) -> String {
    format!("{app}.service")
}

/// `NAME.socket`.
#[must_use]
pub fn socket(app: &str) -> String {
    format!("{app}.socket")
}

/// `NAME@.service`: the template of the instances.
#[must_use]
pub fn template(app: &str) -> String {
    format!("{app}@.service")
}

/// `NAME@N.service`.
#[must_use]
pub fn instance(app: &str, number: u32) -> String {
    format!("{app}@{number}.service")
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_what_systemd_takes_as_a_unit_name_is_a_name() {
        for good in ["web", "my-app_2.0", "A"] {
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
            &"x".repeat(201),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
