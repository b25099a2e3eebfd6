//! When the brake unit tells the status text of the cluster unit.

use super::*;
use crate::cluster::shown::Shown;
use crate::systemd::{Brief, Error, Job, JobResult};

/// A systemd that counts how often it was asked to move this process, which it refuses.
struct Counting {
    fake: Fake,
    asked: u32,
}

impl Manager for Counting {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        self.fake.unit(name)
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        self.fake.units(pattern)
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        self.fake.queue(verb, unit)
    }

    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.cut_short(unit)
    }

    fn kill(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.kill(unit)
    }

    fn attach(&mut self, unit: &str) -> Result<(), Error> {
        assert_eq!(unit, "web.service");
        self.asked += 1;
        let reason = "it has no `Delegate=`".to_owned();
        Err(Error::Refused { reason })
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        self.fake.wait(job, at_most)
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.reset_failed(unit)
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.fake.daemon_reload()
    }

    fn version(&mut self) -> Result<u32, Error> {
        self.fake.version()
    }
}

/// The cluster unit in this state, with this text.
fn leader(active: ActiveState, text: &str) -> Unit {
    Unit {
        name: "web.service".into(),
        load: "loaded".into(),
        active,
        status_text: text.into(),
        ..Unit::default()
    }
}

/// How often systemd is asked to move this process while the text is looked at twice.
fn asked(bench: &mut Bench, leader: Unit) -> u32 {
    bench.fake.set(leader);
    let fake = std::mem::take(&mut bench.fake);
    let mut systemd = Counting { fake, asked: 0 };
    let mut shown = Shown::default();
    for _ in 0..2 {
        assert_eq!(shown.keep(&mut systemd, &bench.cluster), Ok(true));
    }
    bench.fake = systemd.fake;
    systemd.asked
}

#[test]
fn the_text_is_told_where_it_differs_and_a_refusal_is_believed() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let active = |text| leader(ActiveState::Active, text);
    assert_eq!(asked(&mut bench, active("1 of 1 serving")), 0);
    assert_eq!(asked(&mut bench, active("2 of 2 serving")), 1);
    let inactive = leader(ActiveState::Inactive, "");
    assert_eq!(asked(&mut bench, inactive), 0);
}

#[test]
fn an_instance_that_was_given_up_is_in_the_text() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        load: "loaded".into(),
        active: ActiveState::Failed,
        ..Unit::default()
    });
    let why = || "exited with status 1".to_owned();
    let died = Deaths::after(None, Duration::ZERO, Duration::ZERO, why(), &POLICY);
    let deaths = bench.cluster.deaths(1);
    died.given_up(&POLICY).store(&deaths).unwrap();
    let text = leader(ActiveState::Active, "1 of 2 serving, 1 errored");
    assert_eq!(asked(&mut bench, text), 0);
}
