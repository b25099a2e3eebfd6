use std::fs;

use tempfile::TempDir;

use super::*;
use crate::systemd::{Brief, Error as Fault, Job, Unit};

const DELAY: Duration = Duration::from_millis(20);

/// A systemd whose reloads end with these results, in order; the last one ends the watch. A file is written during each
/// of the first reloads.
struct Fake {
    folder: TempDir,
    results: Vec<JobResult>,
    writes: u32,
    active: ActiveState,
    /// systemd's words for the first reload, which it refuses.
    refusal: Option<String>,
    reloads: u32,
    paused: Duration,
    /// The state of the pause unit.
    pause: ActiveState,
}

impl Fake {
    fn new(results: &[JobResult], writes: u32) -> Self {
        let mut results = results.to_vec();
        results.reverse();
        Self {
            folder: tempfile::tempdir().unwrap(),
            results,
            writes,
            active: ActiveState::Active,
            refusal: None,
            reloads: 0,
            paused: Duration::ZERO,
            pause: ActiveState::Inactive,
        }
    }

    /// Runs the watch, with one change at its beginning, and returns what the watch logged.
    fn run(&mut self) -> Vec<String> {
        let watch = Watch {
            app: "web".to_owned(),
            paths: vec![self.folder.path().to_owned()],
            ignore: Vec::new(),
            delay: DELAY,
        };
        let file = self.folder.path().join("first.js");
        let mut said = Vec::new();
        let ended = run(self, &watch, &mut |line| {
            if said.is_empty() {
                fs::write(&file, "").unwrap();
            }
            said.push(line.to_owned());
        });
        assert!(ended.is_err());
        said
    }
}

impl Manager for Fake {
    fn unit(&mut self, name: &str) -> Result<Unit, Fault> {
        assert_eq!(name, "web.service");
        if self.results.is_empty() {
            return Err(Fault::NoSuchUnit {
                unit: name.to_owned(),
            });
        }
        if self.active != ActiveState::Active || self.pause == ActiveState::Active {
            self.results.clear();
            fs::write(self.folder.path().join("next.js"), "").unwrap();
        }
        Ok(Unit {
            active: self.active,
            ..Unit::default()
        })
    }
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Fault> {
        assert_eq!((verb, unit), (Verb::ReloadIfFree, "web.service"));
        self.reloads += 1;
        if let Some(reason) = self.refusal.take() {
            fs::write(self.folder.path().join("next.js"), "").unwrap();
            return Err(Fault::Refused { reason });
        }
        Ok(Job {
            path: "/job/1".to_owned(),
            unit: unit.to_owned(),
        })
    }
    fn wait(&mut self, _: &Job, _: Duration) -> Result<JobResult, Fault> {
        let result = self.results.pop().unwrap();
        if self.reloads <= self.writes || self.results.is_empty() {
            for number in 0..10 {
                fs::write(self.folder.path().join(format!("{number}.js")), "").unwrap();
            }
        }
        Ok(result)
    }
    fn pause(&mut self, time: Duration) {
        self.paused += time;
    }
    fn units(&mut self, name: &str) -> Result<Vec<Brief>, Fault> {
        assert_eq!(name, "web:pause.service");
        Ok(vec![Brief {
            name: name.to_owned(),
            active: self.pause,
            sub: String::new(),
            job: None,
        }])
    }
    fn cut_short(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn kill(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn reset_failed(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn daemon_reload(&mut self) -> Result<(), Fault> {
        Ok(())
    }
    fn version(&mut self) -> Result<u32, Fault> {
        Ok(252)
    }
}

#[test]
fn changes_during_a_reload_lead_to_one_more() {
    let mut fake = Fake::new(&[JobResult::Done, JobResult::Done], 1);
    let said = fake.run();
    assert_eq!(fake.reloads, 2, "{said:?}");
    assert!(said[1].ends_with("first.js` changed"), "{said:?}");
    assert!(said[2].ends_with("9.js` changed"), "{said:?}");
    assert_eq!(fake.paused, Duration::ZERO);
}

#[test]
fn a_reload_that_fails_is_told_and_the_next_change_leads_to_another() {
    let mut fake = Fake::new(&[JobResult::Failed, JobResult::Done], 1);
    let said = fake.run();
    assert!(
        said[2].starts_with("the reload ended as `failed`"),
        "{said:?}"
    );
    assert_eq!(fake.reloads, 2);
}

#[test]
fn a_program_that_changes_its_own_files_is_named_and_slowed_down() {
    let mut fake = Fake::new(&[JobResult::Done; 6], 6);
    let said = fake.run();
    let named = said
        .iter()
        .filter(|line| line.contains("list it in `ignore_watch`"));
    assert_eq!(named.count(), 4, "{said:?}");
    assert_eq!(fake.paused, PAUSE * 4);
}

#[test]
fn an_app_that_does_not_run_is_not_reloaded() {
    let mut fake = Fake::new(&[JobResult::Done], 0);
    fake.active = ActiveState::Inactive;
    let said = fake.run();
    assert_eq!(
        (fake.reloads, said[2].as_str()),
        (0, "no reload: the app is not running")
    );
}

#[test]
fn a_reload_that_would_cancel_the_job_of_somebody_else_waits_for_the_next_change() {
    let mut fake = Fake::new(&[JobResult::Done], 0);
    fake.refusal = Some("web.service has 'stop' job queued".to_owned());
    let said = fake.run();
    assert_eq!(said[2], "no reload: web.service has 'stop' job queued");
    assert_eq!(fake.reloads, 2);
}

#[test]
fn an_app_that_is_paused_is_not_reloaded() {
    let mut fake = Fake::new(&[JobResult::Done], 0);
    fake.pause = ActiveState::Active;
    let said = fake.run();
    assert_eq!(fake.reloads, 0);
    assert!(said[2].starts_with("no reload: the app is paused"));
}

#[test]
fn changes_are_waited_for_until_there_are_none_for_the_delay() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(&[folder.path().to_owned()], &[]).unwrap();
    let next = folder.path().join("next.js");
    fs::write(&next, "").unwrap();
    let delay = Duration::from_millis(100);
    let begun = Instant::now();
    let last = settle(&mut tree, PathBuf::from("first.js"), delay).unwrap();
    assert_eq!(last, next);
    assert!(begun.elapsed() >= delay);
}
