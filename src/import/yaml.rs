//! Makes a value from the events of a YAML parser.
//!
//! The parser has no limits: an alias is free, and nine lines of aliases can stand for a billion values
//! ("billion laughs"). This module therefore counts the values that it creates.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::value::{Table, Value};
use crate::unit::Fault;

/// The largest number of values in a document, counted with every alias replaced. A file of 1000 apps has fewer.
const MOST_VALUES: usize = 200_000;

/// The length of text that counts as one more value when a value is copied.
const TEXT: usize = 64;

/// The deepest nesting, the same as `serde_json`'s.
const DEEPEST: usize = 128;

/// Reads a text that consists of one document.
pub(super) fn read(text: &str) -> Result<Value, Fault> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
    };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(Value::Null),
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            event => {
                let value = reader.value(event, 0)?;
                return reader.end().map(|()| value);
            }
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    /// The number of values made so far.
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Fault> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(fault(error.to_string())),
            None => Ok(Event::StreamEnd),
        }
    }

    /// Checks that nothing follows the document, since PM2 reads only one.
    fn end(&mut self) -> Result<(), Fault> {
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd | Event::Nothing => {}
                _ => return Err(fault("the file has more than one document")),
            }
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, Fault> {
        if depth > DEEPEST {
            return Err(fault("the file is nested too deeply"));
        }
        self.count(1)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if is_plain {
                    plain(&text)
                } else {
                    Value::Text(text.into_owned())
                };
                (anchor, value)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.table(depth)?),
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor).cloned();
                let value = named.ok_or_else(|| fault("an alias has no anchor"))?;
                self.count(size(&value))?;
                (0, value)
            }
            _ => return Err(fault("a value is missing")),
        };
        if anchor > 0 {
            self.count(size(&value))?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.values += more;
        if self.values > MOST_VALUES {
            return Err(fault("the file contains too many values"));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::List(list)),
                event => list.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut table = Table::new();
        let mut merged = Table::new();
        loop {
            let name = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(fault("a key is not a string")),
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            match value {
                // The table's own members override those of a merge (`<<`).
                Value::Table(members) if name == "<<" => merged.extend(members),
                Value::List(tables) if name == "<<" => {
                    // An earlier table of the list overrides a later one.
                    let tables = tables.iter().rev().filter_map(Value::table);
                    merged.extend(tables.flatten().cloned());
                }
                value => table.push((name, value)),
            }
        }
        merged.append(&mut table);
        Ok(Value::Table(merged))
    }
}

/// Returns the number of values that a copy counts as. A long text takes as much memory as many values, and an alias
/// copies it just as easily.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / TEXT,
        Value::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Table(table) => 1 + table.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}

/// Reads a scalar without quotes, by the core schema of YAML 1.2.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

/// Returns whether a text is a number in JSON. Other numbers, such as `0x10`, stay text.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(
        format!("the file is not YAML that PM2 can read: {}", message.into()),
        "see https://yaml.org for its syntax",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_js_yaml_reads_it() {
        let text = "# c\ndefaults: &d\n  A: 1\n  B: two\napps:\n  - name: 'web'\n    env:\n      <<: *d\n      B: \"3\"\n    \
            watch: false\n    args: [--port, 3000]\n    cron: ~\n    x: >\n      a\n      b\n";
        let value = read(text).unwrap();
        let Some(Value::List(apps)) = value.get("apps") else {
            panic!("{value}");
        };
        let app = &apps[0];
        assert_eq!(
            app.to_string(),
            r#"{"name":"web","env":{"A":1,"B":"two","B":"3"},"watch":false,"args":["--port",3000],"cron":null,"x":"a b\n"}"#
        );
        assert_eq!(
            app.get("env").unwrap().get("B"),
            Some(&Value::Text("3".into()))
        );
    }

    #[test]
    fn a_hostile_file_is_refused_soon() {
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{}", n - 1);
            let line = format!("a{n}: &a{n} [{}]\n", vec![alias; 9].join(","));
            laughs.push_str(&line);
        }
        let flow = "[".repeat(100_000);
        let block = format!("{}x", "- ".repeat(200));
        let long = "x".repeat(1 << 20);
        let copies = format!("a: &a {long}\nb: [{}]\n", ["*a"; 1000].join(","));
        let anchors: Vec<String> = (0..100).map(|n| format!("&a{n} [")).collect();
        let anchors = anchors.concat();
        let nested = format!("{anchors}{long}{}", "]".repeat(100));
        for (text, why) in [
            (laughs.as_str(), "too many values"),
            (&flow, "recursion limit"),
            (&block, "nested too deeply"),
            (&copies, "too many values"),
            (&nested, "too many values"),
            ("a: *b\n", ""),
            ("a: 1\n---\nb: 2\n", "more than one document"),
            ("[a]: 1\n", "a key is not a string"),
            ("a: [", ""),
            ("\t@", ""),
        ] {
            let said = read(text).unwrap_err().message;
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(read("").unwrap(), Value::Null);
    }

    #[test]
    fn a_file_is_read_up_to_a_depth_and_a_number_of_values() {
        // Within a table.
        let nested = |depth| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(DEEPEST)).is_ok());
        let tables = |depth| format!("{}x{}", "{a: ".repeat(depth), "}".repeat(depth));
        assert!(read(&tables(DEEPEST)).is_ok());
        for deeper in [nested(DEEPEST + 1), tables(DEEPEST + 1)] {
            let fault = read(&deeper).unwrap_err();
            assert!(fault.message.contains("nested too deeply"));
        }
        assert_eq!(size(&read("[x, [y], {a: b}]").unwrap()), 6);
        // Each alias counts for itself and for the 737 of its text: with the table and the list, 2 + 271 * 738.
        let copies = |more: &str| {
            let (text, aliases) = ("x".repeat(736 * TEXT), ["*a"; 270].join(","));
            read(&format!("a: &a {text}\nb: [{aliases}{more}]\n"))
        };
        assert!(copies("").is_ok());
        let fault = copies(",1").unwrap_err();
        assert!(fault.message.contains("too many values"));
    }
}
