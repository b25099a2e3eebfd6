//! The number of instances that the command line chose instead of the file's. The installed file contains the chosen
//! number, with a comment that gives the file's, so that the next install can tell whether the file has changed since.

use toml_edit::{DocumentMut, Item, Value};

use super::APPS;
use super::values::Instances;

/// Precedes the file's number in the comment.
const MARK: &str = "# --instances, in place of ";

/// The chosen number, and the one in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
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
        Some(Self {
            instances: read(value)?,
            in_place_of: comment.strip_prefix(MARK)?.parse().ok()?,
        })
    }

    /// Returns the value of the key, with its comment.
    pub(super) fn written(self) -> Value {
        let mut value = match self.instances {
            Instances::Max => Value::from("max"),
            Instances::Fewer(n) => Value::from(-i64::from(n)),
            Instances::Exactly(n) => Value::from(i64::from(n)),
        };
        if self.instances != self.in_place_of {
            let comment = format!(" {MARK}{}", self.in_place_of);
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
        for instances in numbers {
            for in_place_of in numbers {
                let chosen = Chosen {
                    instances,
                    in_place_of,
                };
                let text = format!("[[apps]]\ninstances ={}\nlisten = 1\n", chosen.written());
                let differs = instances != in_place_of;
                assert_eq!(
                    Chosen::of_installed(&text),
                    differs.then_some(chosen),
                    "{text}"
                );
            }
        }
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
