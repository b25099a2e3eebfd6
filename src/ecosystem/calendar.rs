//! Calendar expressions: checks those of systemd.time(7) and translates lines of crontab(5). Pure.

use super::diagnostic::nearest;
use crate::unit::Fault;

/// The words of systemd.time(7) that stand for a whole expression.
const WORDS: &[&str] = &[
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "yearly",
    "annually",
];

const WEEKDAYS: &[&str] = &["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_WEEKDAYS: &[&str] = &[
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

const MONTH: Bounds = Bounds {
    low: 1,
    high: 12,
    names: MONTHS,
};

/// The number of fields in a line of cron; an expression of systemd has fewer words.
const FIELDS: usize = 5;

/// Returns the values of `OnCalendar=` for an expression of systemd, or for a line of cron, which may need two.
///
/// # Errors
/// Says what is accepted. The form alone is checked: only systemd knows how many days a month has and which time zones
/// exist.
pub(super) fn parse(text: &str) -> Result<Vec<String>, Fault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let Some(word) = of_nickname(text.trim()) {
        return Ok(vec![word.to_owned()]);
    }
    if words.len() >= FIELDS {
        return of_cron(&words).map_err(|why| {
            Fault::new(
                format!("`{text}` is not a cron expression: {why}"),
                "write minute, hour, day of the month, month and day of the week, as in `0 4 * * *`; or as \
                 systemd.time(7) does, as in `Sun *-*-* 04:00`",
            )
        });
    }
    if is_systemds(&words) {
        Ok(vec![words.join(" ")])
    } else {
        Err(wrong(text))
    }
}

fn wrong(text: &str) -> Fault {
    let help = match nearest(text, WORDS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write it as systemd.time(7) does (`daily`, `04:00`, `Sun *-*-* 04:00`), or as cron does (`0 4 * * *`)".to_owned(),
    };
    Fault::new(format!("`{text}` is not a calendar expression"), help)
}

/// The words of crontab(5) that stand for a whole line; `@reboot` is missing because it is not a calendar time.
fn of_nickname(text: &str) -> Option<&'static str> {
    Some(match text {
        "@hourly" => "hourly",
        "@daily" | "@midnight" => "daily",
        "@weekly" => "weekly",
        "@monthly" => "monthly",
        "@yearly" | "@annually" => "yearly",
        _ => return None,
    })
}

/// Returns whether these words are, in this order and each optional, a weekday, a date, a time and a time zone.
fn is_systemds(words: &[&str]) -> bool {
    let mut rest = words;
    let mut parts = 0;
    let is_word = |word: &&str| is_among(word, WORDS);
    let forms: &[fn(&str) -> bool] = if words.first().is_some_and(is_word) {
        rest = rest.get(1..).unwrap_or_default();
        parts = 1;
        &[]
    } else {
        &[are_weekdays, is_date, is_time]
    };
    for form in forms {
        if let Some((first, others)) = rest.split_first()
            && form(first)
        {
            rest = others;
            parts += 1;
        }
    }
    match rest {
        [] => parts > 0,
        [zone] => parts > 0 && is_zone(zone),
        _ => false,
    }
}

fn are_weekdays(word: &str) -> bool {
    let is_day = |day: &str| is_among(day, WEEKDAYS) || is_among(day, LONG_WEEKDAYS);
    let word = word.strip_suffix(',').unwrap_or(word);
    let mut days = word.split(',').flat_map(|part| part.split(".."));
    days.all(|day| day.split('-').all(is_day))
}

fn is_among(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn is_date(word: &str) -> bool {
    let separators = word.chars().filter(|c| matches!(c, '-' | '~')).count();
    (1..=2).contains(&separators) && are_numbers(word, "-~")
}

fn is_time(word: &str) -> bool {
    let separators = word.chars().filter(|c| *c == ':').count();
    (1..=2).contains(&separators) && are_numbers(word, ":")
}

/// Returns whether a word consists of numbers, lists and repetitions between these separators, with nothing empty.
fn are_numbers(word: &str, separators: &str) -> bool {
    let parts = word.split(|c| separators.contains(c) || c == ',');
    parts.into_iter().all(|part| {
        let part = part.replace("..", "/");
        part.split('/').all(|value| {
            value == "*"
                || !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        })
    })
}

fn is_zone(word: &str) -> bool {
    (word.starts_with(|c: char| c.is_ascii_uppercase()) || word == "utc")
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
}

/// Translates a line of cron, which may have a field for seconds before the others.
fn of_cron(words: &[&str]) -> Result<Vec<String>, String> {
    let (seconds, fields) = match words {
        [seconds, fields @ ..] if fields.len() == FIELDS => {
            (field(seconds, bounds(0, 59))?, fields)
        }
        fields => ("00".to_owned(), fields),
    };
    let [minute, hour, day, month, weekday] = fields else {
        return Err(format!("it has {} fields", words.len()));
    };
    let time = format!(
        "{}:{}:{seconds}",
        field(hour, bounds(0, 23))?,
        field(minute, bounds(0, 59))?
    );
    let month = field(month, MONTH)?;
    let day = field(day, bounds(1, 31))?;
    let weekday = weekdays(weekday)?;
    // cron runs a line when either the day of the month or the day of the week matches, so both together need two
    // expressions.
    Ok(match (day.as_str(), weekday) {
        (_, None) => vec![format!("*-{month}-{day} {time}")],
        ("*", Some(weekday)) => vec![format!("{weekday} *-{month}-* {time}")],
        (_, Some(weekday)) => vec![
            format!("*-{month}-{day} {time}"),
            format!("{weekday} *-{month}-* {time}"),
        ],
    })
}

/// The values that a field may have.
#[derive(Clone, Copy)]
struct Bounds {
    low: u32,
    high: u32,
    /// Names of the values, beginning with the lowest.
    names: &'static [&'static str],
}

const fn bounds(low: u32, high: u32) -> Bounds {
    let names = &[];
    Bounds { low, high, names }
}

/// A part of a field, between commas: a first value, a last value and a step.
struct Part {
    /// `None` for `*`.
    range: Option<(u32, Option<u32>)>,
    step: Option<u32>,
}

impl Bounds {
    fn value(self, word: &str) -> Result<u32, String> {
        let Self { low, high, names } = self;
        let named = (low..=high)
            .zip(names)
            .find(|(_, name)| name.eq_ignore_ascii_case(word));
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let value = named.map(|(value, _)| value);
        value
            .or_else(|| word.parse().ok().filter(|_| is_number))
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| format!("`{word}` is not from {low} to {high}"))
    }

    fn range(self, range: &str) -> Result<Option<(u32, Option<u32>)>, String> {
        match range.split_once('-') {
            _ if matches!(range, "*" | "?") => Ok(None),
            None => Ok(Some((self.value(range)?, None))),
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                if first > last {
                    return Err(format!("`{range}` ends before it begins"));
                }
                Ok(Some((first, Some(last))))
            }
        }
    }

    fn part(self, part: &str) -> Result<Part, String> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let step = step.parse().ok().filter(|step| *step > 0);
                let step = step.ok_or_else(|| format!("`{part}` has no step"))?;
                (range, Some(step))
            }
        };
        let range = self.range(range)?;
        Ok(Part { range, step })
    }
}

/// Translates a field to systemd's form.
fn field(text: &str, bounds: Bounds) -> Result<String, String> {
    let low = bounds.low;
    let translated = |part: &str| {
        let Part { range, step } = bounds.part(part)?;
        let step = step.map(|step| format!("/{step}")).unwrap_or_default();
        Ok(match range {
            None if step.is_empty() => "*".to_owned(),
            None => format!("{low:02}{step}"),
            Some((first, None)) => format!("{first:02}{step}"),
            Some((first, Some(last))) => format!("{first:02}..{last:02}{step}"),
        })
    };
    let parts: Vec<String> = text
        .split(',')
        .map(translated)
        .collect::<Result<_, String>>()?;
    // In a list for systemd, `*` has to stand alone.
    Ok(if parts.iter().any(|part| part == "*") {
        "*".to_owned()
    } else {
        parts.join(",")
    })
}

/// Returns the days of the week by name, if a line of cron restricts them. Both 0 and 7 are Sunday.
fn weekdays(text: &str) -> Result<Option<String>, String> {
    let mut days: Vec<&str> = Vec::new();
    let bounds = Bounds {
        low: 0,
        high: 7,
        names: WEEKDAYS,
    };
    let mut is_any = false;
    for part in text.split(',') {
        let Part { range, step } = bounds.part(part)?;
        let (first, last) = match (range, step) {
            (None, None) => {
                is_any = true;
                continue;
            }
            (None, Some(_)) => (0, 6),
            (Some((first, None)), None) => (first, first),
            (Some((first, None)), Some(_)) => (first, 6),
            (Some((first, Some(last))), _) => (first, last),
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
        let numbers = (first..=last).step_by(step);
        days.extend(numbers.filter_map(|n| WEEKDAYS.get(usize::try_from(n % 7).ok()?)));
    }
    let is_wanted = |day: &&&str| days.contains(*day);
    let days: Vec<&str> = WEEKDAYS.iter().filter(is_wanted).copied().collect();
    Ok((!is_any).then(|| days.join(",")))
}

#[cfg(test)]
mod tests;
