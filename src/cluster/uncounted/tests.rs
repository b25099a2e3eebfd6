use super::*;
use crate::journal::field;
use crate::record::Journal;
use crate::record::fake::Journald;
use crate::state;
use crate::systemd::ActiveState;
use crate::systemd::fake::Fake;

const UNIT: &str = "web@1.service";

struct Bench {
    cluster: Cluster,
    fake: Fake,
    said: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().join("web"),
            scope: Scope::System,
            journal: Journal::default(),
        };
        Self {
            cluster,
            fake: Fake::running(&[]),
            said: Vec::new(),
            _folder: folder,
        }
    }

    /// Looks, as a brake unit that was just started does, at a run of the instance.
    fn look(&mut self, invocation: &str, restarts: u32, active: ActiveState) {
        self.fake.set(Unit {
            name: UNIT.into(),
            invocation: invocation.into(),
            n_restarts: restarts,
            active,
            ..Unit::default()
        });
        let said = &mut self.said;
        let mut seen = Uncounted::load(&self.cluster);
        seen.look(&mut self.fake, &self.cluster, &mut |line| {
            said.push(line.to_owned());
        })
        .unwrap();
    }

    fn deaths(&self) -> Option<Deaths> {
        Deaths::load(&self.cluster.deaths(1))
    }
}

#[test]
fn a_restart_after_a_death_that_was_not_counted_is_told_once_and_counted() {
    let mut bench = Bench::new();
    bench.look("a", 0, ActiveState::Activating);
    bench.look("a", 0, ActiveState::Active);
    // Between the two runs.
    bench.look("a", 1, ActiveState::Activating);
    assert_eq!(bench.deaths(), None);
    bench.look("b", 1, ActiveState::Activating);
    bench.look("b", 1, ActiveState::Activating);
    assert_eq!(bench.said.len(), 1);
    assert!(bench.said[0].starts_with("web@1.service ended: "));
    let deaths = bench.deaths().unwrap();
    assert_eq!((deaths.count, deaths.invocation.as_str()), (0, "a"));
    // Deaths before READY are a loop.
    bench.look("c", 2, ActiveState::Activating);
    bench.look("c", 3, ActiveState::Activating);
    assert_eq!(bench.said.len(), 2);
    bench.look("d", 3, ActiveState::Activating);
    assert_eq!(bench.deaths().unwrap().count, 2);
}

#[test]
fn the_death_of_a_first_run_that_nobody_has_seen_is_told_unless_it_was_counted() {
    let mut bench = Bench::new();
    bench.look("", 0, ActiveState::Inactive);
    bench.look("b", 1, ActiveState::Active);
    bench.look("b", 1, ActiveState::Active);
    assert_eq!(bench.said.len(), 1, "{:?}", bench.said);
    assert_eq!(bench.deaths().unwrap().count, 1);
    // The next one is told as any other.
    bench.look("c", 2, ActiveState::Active);
    assert_eq!(bench.said.len(), 2, "{:?}", bench.said);
    for (restarts, counted) in [(0, ""), (1, "a")] {
        let mut bench = Bench::new();
        bench.look("", 0, ActiveState::Inactive);
        let deaths = Deaths {
            invocation: counted.into(),
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(1)).unwrap();
        bench.look("b", restarts, ActiveState::Active);
        assert_eq!(bench.said, [""; 0]);
    }
}

#[test]
fn such_a_death_is_told_as_one_of_that_instance() {
    let journald = Journald::new();
    let mut bench = Bench::new();
    bench.cluster.journal = journald.of_cluster_unit();
    bench.look("a", 0, ActiveState::Active);
    bench.look("b", 1, ActiveState::Active);
    assert_eq!(journald.entry()[field::INSTANCE], "1");
}

#[test]
fn a_death_that_was_counted_and_a_restart_on_purpose_are_not_told() {
    let mut bench = Bench::new();
    bench.look("a", 0, ActiveState::Active);
    let counted = Deaths {
        invocation: "a".into(),
        ..Deaths::default()
    };
    counted.store(&bench.cluster.deaths(1)).unwrap();
    bench.look("b", 1, ActiveState::Active);
    bench.look("c", 0, ActiveState::Active);
    // The run that is seen has ended meanwhile, and was counted.
    let counted = Deaths {
        invocation: "cc".into(),
        ..Deaths::default()
    };
    counted.store(&bench.cluster.deaths(1)).unwrap();
    bench.look("cc", 1, ActiveState::Deactivating);
    // Somebody has started a run that nobody has seen and whose death was counted.
    bench.look("dd", 0, ActiveState::Active);
    let counted = Deaths {
        count: 1,
        invocation: "ddd".into(),
        ..Deaths::default()
    };
    counted.store(&bench.cluster.deaths(1)).unwrap();
    bench.look("dddd", 1, ActiveState::Active);
    // Several at once: the last was counted.
    bench.look("d", 5, ActiveState::Active);
    bench.look("", 6, ActiveState::Inactive);
    assert_eq!(bench.said, [""; 0]);
    assert_eq!(bench.deaths(), Some(counted));
}

/// As by a start of the app within the second that the brake unit looks away.
#[test]
fn a_death_that_was_counted_and_forgotten_is_not_told_again() {
    let mut bench = Bench::new();
    bench.look("a", 0, ActiveState::Active);
    let counted = Deaths {
        invocation: "a".into(),
        ..Deaths::default()
    };
    counted.store(&bench.cluster.deaths(1)).unwrap();
    state::forget_deaths(&bench.cluster.state, None);
    assert_eq!(bench.deaths(), None);
    bench.look("b", 1, ActiveState::Active);
    assert_eq!(bench.said, [""; 0]);
    assert_eq!(bench.deaths(), None);
    // The next one was not counted.
    bench.look("c", 2, ActiveState::Active);
    assert_eq!(bench.said.len(), 1, "{:?}", bench.said);
}

#[test]
fn a_run_that_is_first_seen_at_its_end_and_was_counted_is_not_told_again() {
    let mut bench = Bench::new();
    let counted = Deaths {
        count: 1,
        invocation: "a".into(),
        ..Deaths::default()
    };
    counted.store(&bench.cluster.deaths(1)).unwrap();
    bench.look("a", 0, ActiveState::Deactivating);
    bench.look("b", 1, ActiveState::Activating);
    assert_eq!(bench.said, [""; 0]);
    assert_eq!(bench.deaths(), Some(counted));
}

#[test]
fn the_end_of_a_process_is_told_in_the_words_for_people() {
    let line = |how: &str| ended_by(&format!("web@1.service: Main process exited, {how}"));
    let killed = line("code=killed, status=9/KILL");
    assert_eq!(killed.as_deref(), Some("killed by SIGKILL"));
    let exited = line("code=exited, status=3/NOTIMPLEMENTED");
    assert_eq!(exited.as_deref(), Some("exited with status 3"));
    assert!(
        line("code=dumped, status=11/SEGV")
            .unwrap()
            .contains("core")
    );
    for other in [
        "code=lost, status=9/KILL",
        "code=killed, status=KILL",
        "status=9",
    ] {
        assert_eq!(line(other), None);
    }
}
