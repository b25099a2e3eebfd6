//! The number of instances that a command line chose instead of the file's. The installed file contains the chosen
//! number, with a comment that gives the file's, so that the next install can see whether the file has changed since.

use toml_edit::{DocumentMut, Item, Value};

use super::APPS;
use super::values::Instances;

/// Stands between the mark and the file's number in the comment.
const IN_PLACE_OF: &str = ", in place of ";

/// The command line that chose a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `--instances` of `rsgen install` or `rsgen deploy`.
    Option,
    /// `rsgen scale`.
    Scale,
}

impl By {
    const ALL: [Self; 2] = [Self::Option, Self::Scale];

    /// Returns the first word of the comment.
    fn mark(self) -> &'static str {
        match self {
            Self::Option => "--instances",
            Self::Scale => "scale",
        }
    }

    /// Returns the words of the command line.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Option => "--instances",
            Self::Scale => "rsgen scale",
        }
    }
}

/// The chosen number, and the one in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The command line that chose the number.
    pub by: By,
    /// The chosen number of instances.
    pub instances: Instances,
    /// The number in the file at that time.
    pub in_place_of: Instances,
}

impl Chosen {
    /// Returns the choice that the installed text of one app contains.
    #[must_use]
    pub fn of_installed(text: &str) -> Option<Self> {
        Self::of(text, 0)
    }

    /// Returns the choice that the app at `index` of a text contains; the text may be an installed one.
    #[must_use]
    pub fn of(text: &str, index: usize) -> Option<Self> {
        let document: DocumentMut = text.parse().ok()?;
        let tables = document.get(APPS).and_then(Item::as_array_of_tables)?;
        let value = tables.get(index)?.get("instances")?.as_value()?;
        let comment = value.decor().suffix()?.as_str()?.trim();
        let (mark, in_place_of) = comment.strip_prefix("# ")?.split_once(IN_PLACE_OF)?;
        Some(Self {
            by: By::ALL.into_iter().find(|by| by.mark() == mark)?,
            instances: read(value)?,
            in_place_of: in_place_of.parse().ok()?,
        })
    }

    /// Returns the installed text of one app with this choice; `None` for a text of another form.
    #[must_use]
    pub fn within(self, text: &str) -> Option<String> {
        let mut document: DocumentMut = text.parse().ok()?;
        let tables = document
            .get_mut(APPS)
            .and_then(Item::as_array_of_tables_mut)?;
        let table = tables.get_mut(0)?;
        table.insert("instances", Item::Value(self.written()));
        Some(document.to_string())
    }

    /// Returns the text of a drop-in that contains nothing but this choice.
    #[must_use]
    pub fn drop_in(self) -> String {
        format!("instances ={}\n", self.written())
    }

    /// Returns the value of the key, with its comment.
    pub(super) fn written(self) -> Value {
        let mut value = match self.instances {
            Instances::Max => Value::from("max"),
            Instances::Fewer(n) => Value::from(-i64::from(n)),
            Instances::Exactly(n) => Value::from(i64::from(n)),
        };
        if self.instances != self.in_place_of {
            let by = self.by.mark();
            let comment = format!(" # {by}{IN_PLACE_OF}{}", self.in_place_of);
            value.decor_mut().set_suffix(comment);
        }
        value.decor_mut().set_prefix(" ");
        value
    }
}

fn read(value: &Value) -> Option<Instances> {
    match value {
        Value::Integer(number) => Instances::from_number(*number.value()).ok(),
        Value::String(word) => word.value().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_was_written() {
        let numbers = [Instances::Max, Instances::Fewer(1), Instances::Exactly(8)];
        for by in By::ALL {
            for (instances, in_place_of) in numbers.into_iter().zip(numbers.into_iter().rev()) {
                let chosen = Chosen {
                    by,
                    instances,
                    in_place_of,
                };
                let text = format!("[[apps]]\n{}listen = 1\n", chosen.drop_in());
                let differs = instances != in_place_of;
                let read = Chosen::of_installed(&text);
                assert_eq!(read, differs.then_some(chosen), "{text}");
            }
        }
    }

    #[test]
    fn a_choice_takes_the_place_of_the_one_before_and_leaves_the_rest_of_the_text() {
        let chosen = |instances, in_place_of| Chosen {
            by: By::Scale,
            instances: Instances::Exactly(instances),
            in_place_of: Instances::Exactly(in_place_of),
        };
        let text = "# mine\n[[apps]]\ninstances = 4 # cores\nlisten = 1 # web\n";
        let scaled = chosen(8, 4).within(text).unwrap();
        let expected = text.replace("4 # cores", "8 # scale, in place of 4");
        assert_eq!(scaled, expected);
        assert_eq!(Chosen::of_installed(&scaled), Some(chosen(8, 4)));
        let back = chosen(4, 4).within(&scaled).unwrap();
        assert_eq!(back, text.replace(" # cores", ""));
        assert!(
            chosen(8, 1)
                .within("[[apps]]\nlisten = 1\n")
                .unwrap()
                .contains("8 # scale")
        );
        assert_eq!(chosen(8, 1).within("apps = [{ listen = 1 }]\n"), None);
    }

    #[test]
    fn a_number_with_any_other_comment_is_the_files_own() {
        for text in [
            "[[apps]]\ninstances = 8\n",
            "[[apps]]\ninstances = 8 # all cores\n",
            "[[apps]]\ninstances = 8 # --instances, in place of many\n",
            "[[apps]]\nlisten = 1 # --instances, in place of 4\n",
        ] {
            assert_eq!(Chosen::of_installed(text), None, "{text}");
        }
    }
}
