//! Reads a command line.

use std::ffi::OsString;

use super::Value;

/// The command line is not one that units write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it is run by the units of rsgen, see rsgen(1)")]
pub struct Usage(pub(super) String);

/// The words of a command line that have not been read yet.
pub(super) struct Words {
    command: &'static str,
    /// The words that are not flags.
    plain: std::vec::IntoIter<String>,
    /// The flags, each as `--name=value`.
    flags: Vec<String>,
    /// The words after `--`.
    rest: Vec<OsString>,
    /// The newest version that introduced one of the flags that are present.
    newest: u8,
    /// The oldest flag that is missing, with the version that introduced it.
    missing: Option<(u8, &'static str)>,
}

impl Words {
    /// Takes all words of this command line, beginning with the command itself.
    pub(super) fn of(
        command: &'static str,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Usage> {
        let mut words = words.into_iter();
        if words.next().is_none_or(|word| word != command) {
            return Err(Usage(format!("the first argument is not `{command}`")));
        }
        let before = words.by_ref().take_while(|word| word != "--");
        let before: Vec<String> = before
            .map(OsString::into_string)
            .collect::<Result<_, _>>()
            .map_err(|word| {
                let word = word.to_string_lossy();
                Usage(format!("`{word}` is not an argument of `{command}`"))
            })?;
        let (flags, plain): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|word| word.starts_with('-'));
        Ok(Self {
            command,
            plain: plain.into_iter(),
            flags,
            rest: words.collect(),
            newest: 0,
            missing: None,
        })
    }

    /// Returns the next word that is not a flag.
    pub(super) fn word<V: Value>(&mut self, what: &str) -> Result<V, Usage> {
        let command = self.command;
        let word = self
            .plain
            .next()
            .ok_or_else(|| Usage(format!("`{command}` lacks {what}")))?;
        V::read(&word).ok_or_else(|| self.refusal(&word))
    }

    /// Returns a flag that every version writes.
    pub(super) fn flag<V: Value>(&mut self, name: &str) -> Result<V, Usage> {
        let command = self.command;
        self.optional(name)?
            .ok_or_else(|| Usage(format!("`{command}` lacks `{name}=`")))
    }

    /// Returns a flag that is omitted when it has no value.
    pub(super) fn optional<V: Value>(&mut self, name: &str) -> Result<Option<V>, Usage> {
        let is_it = |flag: &String| {
            let rest = flag.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('='))
        };
        let Some(at) = self.flags.iter().position(is_it) else {
            return Ok(None);
        };
        let flag = self.flags.remove(at);
        let value = flag.split_once('=').and_then(|(_, value)| V::read(value));
        value.map(Some).ok_or_else(|| self.refusal(&flag))
    }

    /// Returns all values of a flag that is repeated, in order.
    pub(super) fn every<V: Value>(&mut self, name: &str) -> Result<Vec<V>, Usage> {
        let mut values = Vec::new();
        while let Some(value) = self.optional(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Returns a flag that a later version of this command line introduced; `None` in lines of earlier versions.
    ///
    /// A version writes either all flags that it introduced or, being older, none of them. A line that lacks this flag
    /// but has one of this or a later version has therefore lost the flag, and [`Words::end`] refuses the line.
    pub(super) fn since<V: Value>(
        &mut self,
        version: u8,
        name: &'static str,
    ) -> Result<Option<V>, Usage> {
        let value = self.optional(name)?;
        match (&value, self.missing) {
            (Some(_), _) => self.newest = self.newest.max(version),
            (None, Some((oldest, _))) if oldest <= version => {}
            (None, _) => self.missing = Some((version, name)),
        }
        Ok(value)
    }

    /// Returns the words after `--`: the program and its arguments.
    pub(super) fn program(&mut self) -> Result<Vec<OsString>, Usage> {
        if self.rest.is_empty() {
            let command = self.command;
            return Err(Usage(format!("`{command}` lacks the program")));
        }
        Ok(std::mem::take(&mut self.rest))
    }

    /// Checks that no word is left and that no flag was lost.
    pub(super) fn end(mut self) -> Result<(), Usage> {
        let left = self.flags.first().cloned().or_else(|| self.plain.next());
        let left = left.or_else(|| self.rest.first().map(|w| w.to_string_lossy().into_owned()));
        if let Some(word) = left {
            return Err(self.refusal(&word));
        }
        match self.missing {
            Some((version, name)) if version <= self.newest => {
                let command = self.command;
                Err(Usage(format!("`{command}` lacks `{name}=`")))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, word: &str) -> Usage {
        let command = self.command;
        Usage(format!("`{word}` is not an argument of `{command}`"))
    }
}
