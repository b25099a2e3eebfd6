//! Reads unit files as systemd does, see systemd.syntax(7). The code is independent of the code that writes units.

/// A directive of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Directive {
    /// The section: `Service` for `[Service]`.
    pub section: String,
    /// The text before the `=`.
    pub key: String,
    /// The text after the `=`, without white space at both ends.
    pub value: String,
}

/// The directives of a unit, in order.
///
/// # Errors
/// When systemd would reject a line, or join it with the next one.
pub fn read(text: &str) -> Result<Vec<Directive>, String> {
    let mut found = Vec::new();
    let mut section = None;
    for line in text.split(['\n', '\r', '\0']).map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.ends_with('\\') {
            return Err(format!("`{line}` continues in the next line"));
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = Some(name.to_owned());
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("`{line}` is not a directive"))?;
        found.push(Directive {
            section: section.clone().ok_or("a directive before all sections")?,
            key: key.trim_end().to_owned(),
            value: value.trim_start().to_owned(),
        });
    }
    Ok(found)
}

/// The meaning of a `$` in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dollar {
    /// In a command line: the beginning of a variable, or of `$$`.
    Variable,
    /// In other values: a dollar sign.
    Plain,
}

/// The words of a value. `%i` stays as it is; any other specifier is an error.
///
/// # Errors
/// When a quote is not closed, an escape is unknown, or systemd would replace a part of the value.
pub fn words(value: &str, dollar: Dollar) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if quote == Some(c) {
            quote = None;
            continue;
        }
        if quote.is_none() && c.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '\\' => word.push(escaped(&mut chars)?),
            '%' => match chars.next() {
                Some('%') => word.push('%'),
                Some('i') => word.push_str("%i"),
                other => return Err(format!("`%{other:?}` is a specifier")),
            },
            '$' if dollar == Dollar::Variable => match chars.next() {
                Some('$') => word.push('$'),
                other => return Err(format!("`${other:?}` is a variable")),
            },
            c => word.push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    match chars.next() {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some(c @ ('\\' | '"' | '\'')) => Ok(c),
        Some('x') => {
            let hex: String = chars.take(2).collect();
            let code = u8::from_str_radix(&hex, 16).map_err(|e| format!("`\\x{hex}`: {e}"))?;
            // systemd does not accept a byte beyond ASCII here.
            (1..0x80)
                .contains(&code)
                .then_some(char::from(code))
                .ok_or_else(|| format!("`\\x{hex}` is refused"))
        }
        other => Err(format!("`\\{other:?}` is not an escape")),
    }
}
