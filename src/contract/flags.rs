//! A command line on its way in.

use std::ffi::OsString;

use super::Value;

/// The command line is not one that units write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it is run by the units of rsgen, see rsgen(1)")]
pub struct Usage(pub(super) String);

/// The words of a command line that have not been asked for yet.
pub(super) struct Words {
    command: &'static str,
    /// Words that are no flags.
    plain: std::vec::IntoIter<String>,
    /// Each `--name=value` as it is written.
    flags: Vec<String>,
    /// Words behind `--`.
    rest: Vec<OsString>,
    /// The youngest flag that is there, by the version of the command line that brought it.
    newest: u8,
    /// The oldest flag that is not there though a later version wrote it.
    missing: Option<(u8, &'static str)>,
}

impl Words {
    /// All words of this command line, the command itself first.
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

    /// The next word that is no flag.
    pub(super) fn word<V: Value>(&mut self, what: &str) -> Result<V, Usage> {
        let command = self.command;
        let word = self
            .plain
            .next()
            .ok_or_else(|| Usage(format!("`{command}` is not told {what}")))?;
        V::read(&word).ok_or_else(|| self.refusal(&word))
    }

    /// A flag that every version wrote.
    pub(super) fn flag<V: Value>(&mut self, name: &str) -> Result<V, Usage> {
        let command = self.command;
        self.optional(name)?
            .ok_or_else(|| Usage(format!("`{command}` lacks `{name}=`")))
    }

    /// A flag that stands there only where it has a value.
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

    /// A flag that stands there once for each value, in their order.
    pub(super) fn every<V: Value>(&mut self, name: &str) -> Result<Vec<V>, Usage> {
        let mut values = Vec::new();
        while let Some(value) = self.optional(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// A flag that came with a later version of this command line: `None` in the lines of those before. A line that has
    /// any flag of a version has all of them.
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

    /// The words behind `--`, which are another program's.
    pub(super) fn program(&mut self) -> Result<Vec<OsString>, Usage> {
        if self.rest.is_empty() {
            let command = self.command;
            return Err(Usage(format!("`{command}` is not told the program")));
        }
        Ok(std::mem::take(&mut self.rest))
    }

    /// Nothing may be left, and nothing may have got lost.
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
