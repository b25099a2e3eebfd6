//! The keys by which an instance is replaced automatically, before it fails.

use std::time::Duration;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::key::{Form, Taken, Wanted, keys, of};
use super::read::{Fields, integer};
use super::values::Bytes;
use crate::unit::Fault;

keys! {
    /// Replacements of single instances.
    pub struct Recycling {
        in Reload {
            /// The memory of an instance above which it is replaced as in a reload: `"300M"`, `"1G"`, or a number of bytes.
            ///
            /// Checked every 30 seconds. The kernel kills an instance that needs half as much again, unless
            /// `service.MemoryMax` sets another limit. See [recycling](reload.md#recycling).
            max_memory_restart: Option<Bytes> = of(Form::Memory, "\"300M\"", read_memory).or_none()
                .pm2("replaced as in a reload, and killed by the kernel above half as much again");

            /// The time after which an instance is replaced as in a reload: `"1d"`, `"12h"`; up to a tenth more, so that
            /// not all are replaced together.
            ///
            /// See [recycling](reload.md#recycling).
            max_uptime: Option<Duration> = of(Form::Time, "\"1d\"", read_uptime).or_none();
        }
    }
}

fn read_memory(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<Bytes>> {
    let value = f.value(wanted.key)?;
    let span = value.span();
    let limit = match (integer(value), value.get_ref().as_str()) {
        (Some(number), _) => u64::try_from(number).map(Bytes).map_err(|_| {
            Fault::new(
                format!("`{}` is `{number}`, out of range", wanted.key),
                "write an amount as in `\"300M\"`, or a number of bytes",
            )
        }),
        (None, Some(text)) => text.trim().parse(),
        (None, None) => {
            f.mismatch(wanted, value, "an amount of memory");
            return None;
        }
    };
    let limit = f.note(&span, limit)?;
    if limit.is_too_little() {
        f.faults.push(
            Diagnostic::error(
                span,
                format!("`{}` is {limit}, less than any program needs", wanted.key),
            )
            .help("write the unit behind the number, as in `\"300M\"`"),
        );
        return None;
    }
    let hard = f.peek("service").and_then(|service| {
        let hard = service.as_table()?.get("MemoryMax")?.get_ref();
        hard.as_str()?.trim().parse::<Bytes>().ok()
    });
    if let Some(hard) = hard.filter(|hard| *hard <= limit) {
        let fault = format!(
            "the kernel would kill an instance at `MemoryMax={hard}`, before it is replaced at {limit}"
        );
        let net = limit.and_a_half();
        f.faults.push(Diagnostic::error(span, fault).help(format!(
            "write a larger `MemoryMax`, or leave it out: then it is {net}"
        )));
        return None;
    }
    Some(Some(limit))
}

fn read_uptime(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<Duration>> {
    let is_zero = |value: &DeValue<'_>| value.as_str().is_some_and(|text| text.trim() == "0");
    if f.peek(wanted.key).is_some_and(is_zero) {
        let fault = format!("`{}` is 0", wanted.key);
        let place = f.place(wanted.key);
        f.value(wanted.key);
        f.faults.push(
            Diagnostic::error(place, fault).help("leave it out if instances may run indefinitely"),
        );
        return None;
    }
    Some(Some(f.positive_time(wanted)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    fn read(lines: &str) -> Result<Recycling, String> {
        let text = format!("[[apps]]\nscript = \"x\"\nuser = \"www\"\nlisten = 1\n{lines}\n");
        let (mut apps, report) = parse("eco.toml", &text);
        if report.has_errors() {
            return Err(report.render(false).to_string());
        }
        Ok(apps.remove(0).recycling)
    }

    #[test]
    fn an_amount_is_written_as_pm2_and_systemd_do() {
        for (value, bytes) in [
            ("\"300M\"", 300 << 20),
            ("\"1G\"", 1 << 30),
            ("157286400", 157_286_400),
            ("\"157286400\"", 157_286_400),
        ] {
            let read = read(&format!("max_memory_restart = {value}")).unwrap();
            assert_eq!(read.max_memory_restart, Some(Bytes(bytes)), "{value}");
        }
        for (value, fault) in [
            ("\"lots\"", "`lots` is not an amount of memory"),
            ("\"300MB\"", "`300MB` is not an amount of memory"),
            ("300", "less than any program needs"),
            ("-1", "out of range"),
            ("true", "is a boolean, not an amount of memory"),
        ] {
            let told = read(&format!("max_memory_restart = {value}")).unwrap_err();
            assert!(told.contains(fault) && told.contains("help: "), "{told}");
        }
    }

    #[test]
    fn the_kernel_kills_no_sooner_than_an_instance_is_replaced() {
        let with = |hard: &str| {
            read(&format!(
                "max_memory_restart = \"300M\"\nservice.MemoryMax = \"{hard}\""
            ))
        };
        assert!(with("301M").is_ok() && with("infinity").is_ok() && with("50%").is_ok());
        let told = with("300M").unwrap_err();
        assert!(told.contains("before it is replaced at 300M"), "{told}");
        assert!(told.contains("then it is 450M"), "{told}");
    }

    #[test]
    fn an_uptime_of_nothing_is_refused_and_a_job_has_neither_key() {
        let told = read("max_uptime = \"0\"").unwrap_err();
        assert!(told.contains("leave it out"), "{told}");
        assert!(read("max_uptime = 0").is_err());
        let day = read("max_uptime = \"1d\"").unwrap().max_uptime;
        assert_eq!(day, Some(Duration::from_hours(24)));
        for key in ["max_uptime = \"1d\"", "max_memory_restart = \"1G\""] {
            let text =
                format!("[[apps]]\nscript = \"x\"\nuser = \"www\"\nschedule = \"daily\"\n{key}\n");
            let told = parse("eco.toml", &text).1.render(false).to_string();
            assert!(told.contains("is for a long-running app"), "{told}");
        }
    }
}
