//! `rsgen metrics`, read by the rules of `OpenMetrics`.

use std::collections::BTreeSet;

use super::lines::run;
use super::stage::Stage;
use crate::systemd::{ActiveState, Unit};

/// Reads a text as strictly as the format is written: each family once, its lines together, counters that end with `_total`,
/// and `# EOF` at the end. Returns the samples.
fn read(text: &str) -> Vec<String> {
    let text = text.strip_suffix("# EOF").expect("an end");
    let (mut seen, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let (mut name, mut kind, mut unit) = ("", "", "");
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", of, is] => {
                assert!(
                    seen.insert(of) && ["gauge", "counter"].contains(&is),
                    "{line}"
                );
                (name, kind, unit) = (of, is, "");
            }
            ["#", "UNIT", of, is] => {
                assert!(of == name && name.ends_with(is), "{line}");
                unit = is;
            }
            ["#", "HELP", of, help] => assert!(of == name && help.ends_with('.'), "{line}"),
            [sample, number] => {
                assert!(number.parse::<f64>().unwrap() >= 0.0, "{line}");
                assert!(samples.insert(sample), "{line}");
                let of = sample.split('{').next().unwrap();
                let expected = if kind == "counter" { "_total" } else { "" };
                assert_eq!(of, format!("{name}{expected}"));
                found.push(line.to_owned());
            }
            _ => panic!("{line}"),
        }
        assert!(unit.is_empty() || name.ends_with(unit));
    }
    found
}

#[test]
fn every_number_that_is_known_is_a_sample_of_a_family_by_the_rules() {
    let mut stage = Stage::running(&["web.service"]);
    stage.write_app("listen = []\ninstances = 2\n");
    let online = Unit {
        name: "web@0.service".into(),
        load: "loaded".into(),
        active: ActiveState::Active,
        main_pid: 7,
        n_restarts: 3,
        memory_current: Some(1024),
        cpu_usage_nsec: Some(1_500_000_000),
        ..Unit::default()
    };
    let failed = Unit {
        name: "web@1.service".into(),
        active: ActiveState::Failed,
        main_pid: 0,
        memory_current: None,
        cpu_usage_nsec: None,
        ..online.clone()
    };
    stage.systemd.fake.set(online);
    stage.systemd.fake.set(failed);
    let samples = read(&run(&mut stage, "rsgen metrics").shown);
    let twice = run(&mut stage, "rsgen metrics web web").shown;
    assert_eq!(read(&twice).len(), samples.len());
    for expected in [
        "rsgen_app_instances_wanted{app=\"web\"} 2",
        "rsgen_app_instances_serving{app=\"web\"} 1",
        "rsgen_instance_up{app=\"web\",instance=\"0\"} 1",
        "rsgen_instance_up{app=\"web\",instance=\"1\"} 0",
        "rsgen_instance_errored{app=\"web\",instance=\"1\"} 1",
        "rsgen_instance_restarts_total{app=\"web\",instance=\"0\"} 3",
        "rsgen_instance_cpu_seconds_total{app=\"web\",instance=\"0\"} 1.5",
        "rsgen_instance_memory_bytes{app=\"web\",instance=\"0\"} 1024",
    ] {
        assert!(
            samples.iter().any(|s| s == expected),
            "{expected}: {samples:#?}"
        );
    }
    assert!(
        !samples
            .iter()
            .any(|s| s.contains("bytes") && s.contains("\"1\""))
    );
    assert_eq!(
        read(&run(&mut Stage::running(&[]), "rsgen metrics").shown),
        [""; 0]
    );
}
