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
}

impl Scale {
    pub(super) fn line(&self) -> Line {
        let Self { app, instances } = self;
        Line::of("scale").word(&format!("{app}:{instances}"))
    }

    /// Reads the name of the unit's instance, which was chosen by the user who starts the unit. There is
    /// exactly one name for an app and a number, and no other name is accepted.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("scale", words)?;
        let word: String = words.word("the app and the number")?;
        words.end()?;
        let read = |(app, number): (&str, &str)| {
            let instances: Instances = number.parse().ok()?;
            let is_one = !matches!(instances, Instances::Fewer(_));
            (is_one && instances.to_string() == number && name::check(app).is_ok()).then(|| Self {
                app: app.to_owned(),
                instances,
            })
        };
        word.split_once(':').and_then(read).ok_or_else(|| {
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
