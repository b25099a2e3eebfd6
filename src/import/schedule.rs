//! Times in the language of cron, said in that of systemd.time(7).

const DAYS: [&str; 8] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// A pattern of five fields, or of six with the seconds first, as an event of a calendar; `None` for a pattern that one such
/// event cannot say.
pub(super) fn of_cron(pattern: &str) -> Option<String> {
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let (second, fields) = match fields.split_first() {
        Some((second, rest)) if rest.len() == 5 => (*second, rest),
        _ => ("0", fields.as_slice()),
    };
    let [minute, hour, day, month, weekday] = *fields else {
        return None;
    };
    let weekday = days(weekday)?;
    let day = numbers(day, 1, 31)?;
    // Where both are given, cron takes a day that is either.
    if day != "*" && !weekday.is_empty() {
        return None;
    }
    let month = numbers(&month_numbers(month), 1, 12)?;
    let hour = numbers(hour, 0, 23)?;
    let minute = numbers(minute, 0, 59)?;
    let second = numbers(second, 0, 59)?;
    Some(format!("{weekday}*-{month}-{day} {hour}:{minute}:{second}"))
}

fn numbers(field: &str, low: u32, high: u32) -> Option<String> {
    let number = |text: &str| {
        let number = text.parse::<u32>().ok();
        number.filter(|number| (low..=high).contains(number))
    };
    let part = |part: &str| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                Some(step.parse::<u32>().ok().filter(|step| *step > 0)?),
            ),
            None => (part, None),
        };
        let range = match (range, range.split_once('-')) {
            ("*", _) if step.is_some() => low.to_string(),
            ("*", _) => "*".to_owned(),
            (_, Some((from, to))) => format!("{}..{}", number(from)?, number(to)?),
            (one, None) => number(one)?.to_string(),
        };
        Some(step.map_or_else(|| range.clone(), |step| format!("{range}/{step}")))
    };
    let parts = field
        .split(',')
        .map(part)
        .collect::<Option<Vec<String>>>()?;
    Some(parts.join(","))
}

/// Days of the week, with a blank after them.
fn days(field: &str) -> Option<String> {
    if field == "*" || field == "?" {
        return Some(String::new());
    }
    let day = |text: &str| {
        let known = |name: &&&str| name.eq_ignore_ascii_case(text);
        let number = text
            .parse::<usize>()
            .ok()
            .and_then(|number| DAYS.get(number));
        number.or_else(|| DAYS.iter().find(known))
    };
    let part = |part: &str| match part.split_once('-') {
        // systemd has the week begin on Monday, and takes no range over its end.
        Some(("0" | "sun" | "Sun" | "SUN", _)) => None,
        Some((from, to)) => Some(format!("{}..{}", day(from)?, day(to)?)),
        None => Some((*day(part)?).to_owned()),
    };
    let parts = field
        .split(',')
        .map(part)
        .collect::<Option<Vec<String>>>()?;
    Some(format!("{} ", parts.join(",")))
}

fn month_numbers(field: &str) -> String {
    let mut field = field.to_lowercase();
    for (number, name) in MONTHS.iter().enumerate() {
        field = field.replace(name, &(number + 1).to_string());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_is_said_in_the_language_of_systemd() {
        for (cron, systemd) in [
            ("0 3 * * *", Some("*-*-* 3:0:0")),
            ("*/15 8-18 * * 1-5", Some("Mon..Fri *-*-* 8..18:0/15:0")),
            ("0 0 1,15 jan-jun *", Some("*-1..6-1,15 0:0:0")),
            ("30 5 4 * * SUN,3", Some("Sun,Wed *-*-* 4:5:30")),
            ("0 0 */2 * *", Some("*-*-1/2 0:0:0")),
            ("0 0 1 * 1", None),
            ("0 0 * * 0-6", None),
            ("60 0 * * *", None),
            ("@daily", None),
            ("0 0 * * L", None),
            ("*/0 * * * *", None),
        ] {
            assert_eq!(of_cron(cron).as_deref(), systemd, "{cron}");
        }
    }
}
