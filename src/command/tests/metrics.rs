//! `rsgen metrics`, read by the rules of `OpenMetrics`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::lines::run;
use super::stage::Stage;
use crate::cluster::pause::Paused;
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
    let shown = run(&mut stage, "rsgen metrics").shown;
    let unit = "# UNIT rsgen_instance_memory_bytes bytes\n";
    assert!(shown.contains(unit), "{shown}");
    let samples = read(&shown);
    let twice = run(&mut stage, "rsgen metrics web web").shown;
    assert_eq!(read(&twice).len(), samples.len());
    for expected in [
        "rsgen_app_instances_wanted{app=\"web\"} 2",
        "rsgen_app_instances_serving{app=\"web\"} 1",
        "rsgen_instance_up{app=\"web\",instance=\"0\"} 1",
        "rsgen_instance_up{app=\"web\",instance=\"1\"} 0",
        "rsgen_instance_errored{app=\"web\",instance=\"0\"} 0",
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

#[test]
fn an_app_is_paused_while_its_instances_are() {
    let pause = |stage: &mut Stage| {
        let paused = Paused {
            since: Duration::ZERO,
            until: Duration::from_secs(30),
            numbers: vec![0],
        };
        paused.write(&stage.layout.state("web")).unwrap();
        stage.systemd.fake.set(Unit {
            name: "web@0.service".into(),
            load: "loaded".into(),
            ..Unit::default()
        });
    };
    for (units, number) in [
        (&["web.service", "web@0.service"][..], 0),
        (&["web.service", "web:pause.service"], 1),
    ] {
        let mut stage = Stage::running(units);
        stage.write_app("listen = 1\ninstances = 1\n");
        if number == 1 {
            pause(&mut stage);
        }
        let samples = read(&run(&mut stage, "rsgen metrics").shown);
        let expected = format!("rsgen_app_paused{{app=\"web\"}} {number}");
        assert!(samples.contains(&expected), "{samples:#?}");
    }
}

/// The file in which the textfile collector finds the metrics has the older format: no unit, no end, and a family of counters
/// has the name of its samples.
#[test]
fn a_file_for_the_collector_has_the_samples_of_the_screen() {
    let mut stage = Stage::running(&["web.service"]);
    stage.write_app("listen = []\ninstances = 2\n");
    let samples = read(&run(&mut stage, "rsgen metrics").shown);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rsgen.prom");
    let told = run(&mut stage, &format!("rsgen metrics -o {}", path.display()));
    assert_eq!(told.shown, "");
    let text = std::fs::read_to_string(&path).unwrap();
    let (comments, lines): (Vec<_>, Vec<_>) = text.lines().partition(|l| l.starts_with('#'));
    assert_eq!(lines, samples);
    for line in comments {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        assert!(["TYPE", "HELP"].contains(&words[1]), "{line}");
        let of_family = |l: &&&str| l.starts_with(&format!("{}{{", words[2]));
        assert!(lines.iter().any(|l| of_family(&l)), "{line}");
    }
}

/// Every series and label that a query of the dashboard names is one that `rsgen metrics` can print.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = include_str!("../../../packaging/grafana/rsgen.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|p| p["targets"].as_array().unwrap())
        .map(|t| t["expr"].as_str().unwrap());
    let known: BTreeSet<String> = crate::command::metrics::names().collect();
    let mut asked = BTreeSet::new();
    for query in targets {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let series: Vec<&str> = words.filter(|w| w.starts_with("rsgen_")).collect();
        assert!(!series.is_empty(), "{query}");
        for name in series {
            assert!(known.contains(name), "{name}: {query}");
            asked.insert(name.to_owned());
        }
        let selectors = query.split('{').skip(1).map(|s| s.split('}').next());
        for selector in selectors {
            assert_eq!(selector, Some("app=~\"$app\""), "{query}");
        }
    }
    assert!(asked.len() > 8, "{asked:?}");
}
