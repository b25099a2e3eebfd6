//! Commands that wait: nobody sits before a terminal on which nothing has happened for longer than two seconds.

use std::time::Duration;

use super::lines::run;
use super::stage::Stage;

/// The longest silence of a command, and the time for which it looks away in short waits.
const MOST: Duration = Duration::from_millis(2100);

/// Command lines that have systemd do something, and the units that run before.
const LINES: &[(&str, &[&str])] = &[
    ("rsgen start web", &[]),
    ("rsgen start web@1", &["web.service", "web@0.service"]),
    ("rsgen stop web", RUNNING),
    ("rsgen stop web@1", RUNNING),
    ("rsgen restart web", RUNNING),
    ("rsgen restart web@0 web@1", RUNNING),
    ("rsgen reload web", RUNNING),
    ("rsgen scale web 4", RUNNING),
    ("rsgen scale web 1", RUNNING),
    ("rsgen pause web", RUNNING),
    ("rsgen uninstall web", RUNNING),
];

const RUNNING: &[&str] = &[
    "web.socket",
    "web.service",
    "web@0.service",
    "web@1.service",
];

#[test]
fn tell_what_they_wait_for_at_least_every_two_seconds() {
    for (line, running) in LINES {
        // Several short waits add up, and one long wait is looked at now and then.
        for slow in [Duration::from_millis(1900), Duration::from_secs(12)] {
            let mut stage = Stage::running(running);
            stage.write_app("listen = 3000\ninstances = 2\nuser = \"nobody\"\n");
            let prepared = stage.prepare();
            stage.write(&prepared.changes);
            stage.systemd.slow = slow;
            let ran = run(&mut stage, line);
            let is_waited_for = stage.systemd.waited.values().any(|waited| *waited == slow);
            let told = ran.told;
            assert!(
                is_waited_for,
                "{line}: {told} {:?}",
                ran.failure.map(|f| f.message)
            );
            assert!(ran.silence <= MOST, "{line}: {:?} of {told}", ran.silence);
        }
    }
}
