//! `rsgen logs`.

use testbed::runner::Spec;
use testbed::{Machine, specs, wait_until};

use crate::cluster::{SOON, assert_exactly, install};
use crate::logs;

pub(crate) const SPECS: &[Spec] = specs![
    logs::are_merged_numbered_and_tell_what_happened,
    logs::follow_what_comes_until_nobody_reads,
];

pub(crate) fn are_merged_numbered_and_tell_what_happened(machine: &mut Machine) {
    install(machine, "lines.js", "2", "");
    assert!(machine.get(3000).is_ok());
    let forged = "setpriv --reuid=www-data --clear-groups logger -t web 'forged by another user'";
    machine.sh(forged).ok();
    let victim = machine.main_pid("web@1.service").to_string();
    machine.run(&["kill", "-KILL", &victim]).ok();
    wait_until(SOON, "another process", || {
        let pid = machine.main_pid("web@1.service");
        pid != 0 && pid.to_string() != victim
    });
    assert_exactly(machine, 2);

    let all = ["rsgen", "logs", "web", "-n", "all", "--no-follow"];
    let shown = machine
        .run(&all)
        .ok()
        .says("| asked for / \\x1b[2J")
        .says("| web@0 # Main process exited")
        .says("web@1 # Main process exited, code=killed, status=9/KILL")
        .says("web   # 2 of 2 serving");
    assert!(!shown.stdout.contains("forged"), "{shown}");
    let begun = |line: &&str| line.contains("| begun with") && line.ends_with(" and an end");
    let whole = shown.stdout.lines().filter(begun).count();
    assert_eq!(whole, 3, "each long line is one: {}", shown.stdout.len());

    let one = machine
        .sh("rsgen logs web@1 --since -1h --no-follow --json")
        .ok();
    for line in one.stdout.lines() {
        assert!(line.starts_with("{\"app\":\"web\",") && line.contains("\"instance\":1,"));
    }
    assert!(one.stdout.contains("\"source\":\"systemd\""), "{one}");

    let search = |pattern: &str| machine.run(&["rsgen", "logs", "--grep", pattern, "--no-follow"]);
    let found = search("asked f.r").ok();
    assert_eq!(found.stdout.matches("asked for").count(), 1, "{found}");
    let ends = search("Scheduled restart|begun with|serving").ok();
    let times: Vec<&str> = ends
        .stdout
        .lines()
        .filter(|l| !l.starts_with("--"))
        .map(|l| &l[..8])
        .collect();
    assert!(times.len() > 2 && times.is_sorted(), "{ends}");
    assert_eq!(search("nothing like it").exits(1).stderr, "");
    let beyond = machine.run(&["rsgen", "logs", "web@7"]).ok();
    beyond.says("there is no `web@7`, since the app has");
    machine
        .run(&["rsgen", "logs", "wbe"])
        .exits(1)
        .says("installed are web");
}

pub(crate) fn follow_what_comes_until_nobody_reads(machine: &mut Machine) {
    install(machine, "lines.js", "1", "");
    let reader = machine.spawn(&[
        "sh",
        "-c",
        "rsgen logs web -n 0 | grep -m 1 '| asked for /'",
    ]);
    let follows = "pgrep -f '^/usr/bin/journalctl .*--follow'";
    wait_until(SOON, "it to follow", || machine.sh(follows).status == 0);
    wait_until(SOON, "the reader to have seen it", || {
        // The writer notices by its next line that nobody reads any more.
        machine.get(3000).is_ok() && reader.is_over()
    });
    reader.wait().ok().says("asked for /");
    wait_until(SOON, "journalctl to end", || {
        machine.sh(follows).status != 0
    });
}
