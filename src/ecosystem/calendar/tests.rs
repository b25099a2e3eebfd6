use super::*;

fn calendar(text: &str) -> String {
    parse(text).map_or_else(|fault| fault.message, |times| times.join("; "))
}

#[test]
fn a_line_of_cron_is_translated() {
    for (cron, systemd) in [
        ("0 4 * * *", "*-*-* 04:00:00"),
        ("*/5 * * * *", "*-*-* *:00/5:00"),
        ("30 8-18/2 * * *", "*-*-* 08..18/2:30:00"),
        ("0 0 1,15 * *", "*-*-01,15 00:00:00"),
        ("0 0 1 jan,JUL *", "*-01,07-01 00:00:00"),
        ("0 4 * * 1-5", "Mon,Tue,Wed,Thu,Fri *-*-* 04:00:00"),
        ("0 4 * * sun", "Sun *-*-* 04:00:00"),
        ("0 4 * * 5-7", "Sun,Fri,Sat *-*-* 04:00:00"),
        ("0 4 * * */2", "Sun,Tue,Thu,Sat *-*-* 04:00:00"),
        ("0 4 13 * 5", "*-*-13 04:00:00; Fri *-*-* 04:00:00"),
        ("*/10 * * * * *", "*-*-* *:*:00/10"),
        ("0 4 ? * *", "*-*-* 04:00:00"),
        ("0 4 */2 * *", "*-*-01/2 04:00:00"),
        ("@midnight", "daily"),
    ] {
        assert_eq!(calendar(cron), systemd, "{cron}");
    }
}

#[test]
fn what_cron_does_not_mean_is_refused_with_the_field() {
    for (cron, why) in [
        ("60 4 * * *", "`60` is not from 0 to 59"),
        ("0 4 0 * *", "`0` is not from 1 to 31"),
        ("0 22-2 * * *", "`22-2` ends before it begins"),
        ("*/0 * * * *", "`*/0` has no step"),
        ("0 4 L * *", "`L` is not from 1 to 31"),
        ("0 4 * * 1#2", "`1#2` is not from 0 to 7"),
        ("0 4 * * *,", "`` is not from 0 to 7"),
        ("0 0 4 * * * *", "it has 7 fields"),
    ] {
        assert_eq!(
            calendar(cron),
            format!("`{cron}` is not a cron expression: {why}"),
            "{cron}"
        );
    }
}

#[test]
fn a_time_of_systemd_stays_as_it_is() {
    for good in [
        "daily",
        "Weekly",
        "daily Europe/Vienna",
        "04:00",
        "*:0/10",
        "*-*-* 04:00:00",
        "Mon..Fri *-*-* 04:00 UTC",
        "Sat,Sun 12:00",
        "monday",
        "2027-01-01",
        "*-*~01 23:59:30.5",
        "*-02..04/2-* 01:00",
    ] {
        assert_eq!(calendar(good), good);
    }
}

#[test]
fn what_is_no_time_is_refused_and_what_was_meant_is_told() {
    for bad in [
        "",
        "4",
        "04:00\nUnit=x",
        "%h 04:00",
        "often",
        "04:00 04:00",
        "-",
        ":",
        "04:",
        "UTC",
        "@reboot",
        "daily;",
        "04:00 $(id)",
        "*",
    ] {
        let fault = parse(bad).unwrap_err();
        assert!(
            fault.message.contains("is not a calendar expression"),
            "{bad}"
        );
    }
    assert_eq!(parse("dayly").unwrap_err().help, "did you mean `daily`?");
}

#[test]
fn the_words_of_cron_for_a_line_are_those_of_systemd() {
    for (word, systemd) in [
        ("@hourly", "hourly"),
        ("@daily", "daily"),
        ("@weekly", "weekly"),
        ("@monthly", "monthly"),
        ("@yearly", "yearly"),
        ("@annually", "yearly"),
    ] {
        assert_eq!(calendar(word), systemd);
    }
    assert_eq!(calendar("0 4-4 * * *"), "*-*-* 04..04:00:00");
    assert_eq!(calendar("daily utc"), "daily utc");
    assert!(parse("daily europe/vienna").is_err());
}
