//! `rsgen unit scale`: the command of the unit that scales an app for a user who may start that unit but may not write units.

use std::ffi::OsString;

use super::flags::Words;
use super::{Instances, Line, Usage};
use crate::unit::name;

/// `ExecStart=` of `rsgen-scale@APP:N.service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// The app.
    pub app: String,
    /// The number of instances that it is going to have.
    pub instances: Instances,
    /// What the number was compared with, if it was; then no two who ask at once ask for the same unit.
    pub compared: Option<Compared>,
}

/// A number of instances that is only good for an app with another one, as that of `rsgen scale web +1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The number that the app had when its user looked.
    pub from: u32,
    /// Any number, by which those who ask differ.
    pub asker: u64,
}

impl Scale {
    pub(super) fn line(&self) -> Line {
        Line::of("scale").word(&format!("{}:{}", self.app, self.number()))
    }

    /// Returns what stands behind the app in the name of the unit: `8`, or `3:from-2-77`.
    #[must_use]
    pub fn number(&self) -> String {
        match self.compared {
            None => self.instances.to_string(),
            Some(Compared { from, asker }) => format!("{}:from-{from}-{asker}", self.instances),
        }
    }

    fn read(app: &str, number: &str) -> Option<Self> {
        let (instances, compared) = match number.split_once(':') {
            None => (number, None),
            Some((instances, compared)) => {
                let (from, asker) = compared.strip_prefix("from-")?.split_once('-')?;
                let compared = Compared {
                    from: from.parse().ok()?,
                    asker: asker.parse().ok()?,
                };
                (instances, Some(compared))
            }
        };
        let instances: Instances = instances.parse().ok()?;
        let read = Self {
            app: app.to_owned(),
            instances,
            compared,
        };
        let is_one = match instances {
            Instances::Exactly(_) => true,
            Instances::Max => compared.is_none(),
            Instances::Fewer(_) => false,
        };
        (is_one && read.number() == number && name::check(app).is_ok()).then_some(read)
    }

    /// Reads the name of the unit's instance, which was chosen by the user who starts the unit. There is
    /// exactly one name for an app and a number, and no other name is accepted.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("scale", words)?;
        let word: String = words.word("the app and the number")?;
        words.end()?;
        let parts = word.split_once(':');
        let read = parts.and_then(|(app, number)| Self::read(app, number));
        read.ok_or_else(|| {
            Usage(format!(
                "`{word}` is not an app and a number of instances, such as `web:8` or `web:max`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<Scale, Usage> {
        Scale::parse(["scale", word].map(OsString::from))
    }

    #[test]
    fn an_app_and_a_number_are_written_in_one_way_and_read_in_no_other() {
        for (word, instances) in [
            ("web:1", Instances::Exactly(1)),
            ("web:1024", Instances::Exactly(1024)),
            ("we-b_1.x:max", Instances::Max),
        ] {
            let scale = parse(word).unwrap();
            assert_eq!(scale.instances, instances, "{word}");
            let line = scale.line().words();
            assert_eq!(line, ["scale", word]);
        }
        let compared = parse("web:3:from-2-18446744073709551615").unwrap();
        assert_eq!(compared.instances, Instances::Exactly(3));
        assert_eq!(compared.compared.map(|c| c.from), Some(2));
        assert_eq!(
            compared.line().words(),
            ["scale", "web:3:from-2-18446744073709551615"]
        );
        for word in [
            "",
            "web",
            "web:",
            ":8",
            "web:0",
            "web:08",
            "web:+8",
            "web:-1",
            "web:1025",
            "web:8 ",
            "web:8:9",
            "web:8:from-2",
            "web:8:from-2-",
            "web:8:from-02-7",
            "web:8:from-2-+7",
            "web:8:from-2-7-7",
            "web:8:from-2-18446744073709551616",
            "web:max:from-2-7",
            "web::from-2-7",
            "web:MAX",
            "web:٣",
            "all:2",
            "-web:2",
            ".web:2",
            "we/b:2",
            "../web:2",
            "web.service:2",
            "we\\x62:2",
            "web@1:2",
            "rsgen-scale:2",
            "web:99999999999999999999",
        ] {
            assert!(parse(word).is_err(), "{word}");
        }
        let words = ["scale", "web:2", "web:3"].map(OsString::from);
        assert!(Scale::parse(words).is_err());
        assert!(Scale::parse(["scale"].map(OsString::from)).is_err());
    }
}
