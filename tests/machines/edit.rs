//! `rsgen edit`: with editors that are scripts, and with a person at a terminal.

use testbed::runner::Spec;
use testbed::{Load, Machine, Output, Traffic, specs, wait_until};

use crate::cluster::{SOON, assert_exactly, install, pids};
use crate::edit;

mod packaged;

pub(crate) use packaged::an_app_of_a_package_gets_a_file_of_its_own;

pub(crate) const SPECS: &[Spec] = specs![
    edit::a_valid_edit_replaces_the_instances_and_anything_else_changes_nothing,
    edit::two_edits_at_once_and_one_that_is_killed_lose_nothing,
    edit::a_person_is_asked_what_to_do_with_the_text,
    edit::what_cannot_be_edited_now_is_refused_before_the_editor_starts,
    edit::an_app_of_a_package_gets_a_file_of_its_own,
];

const INVALID: &str = "Edit again, or discard? [e/d]";
const VALID: &str = "Apply this, edit again, or discard? [a/e/d]";

const FILE: &str = "/etc/rsgen/web.toml";
/// The copy of the first edit of a machine.
const COPY: &str = "/run/rsgen/:edit:web/1/web.toml";

/// Editors, the exit status of the command after each, and what it tells.
const REFUSED: &[(&str, i32, &str)] = &[
    ("exit 7", 1, "the editor `sh` ended with status 7"),
    ("kill -9 $$", 1, "the editor `sh` was ended by signal 9"),
    ("rm \"$0\"", 1, "the editor has removed the file"),
    (
        "sed -i 's/^instances = .*/instances = \"two\"/' \"$0\"",
        3,
        "/etc/rsgen/web.toml:",
    ),
    // A text in another encoding was typed as well.
    (
        "sed -i 's/^name/# \\xe9\\nname/' \"$0\"",
        3,
        "save it as UTF-8",
    ),
    (
        "sed -i 's/^name = .*/name = \"shop\"/' \"$0\"",
        3,
        "an edit cannot rename `web` to `shop`",
    ),
    (
        "sed -i 's/^script = .*/script = \"graceful.js\"/' \"$0\"",
        3,
        "`script` of an installed file is an absolute path",
    ),
    (
        "sed -i 's/^user = .*//' \"$0\"",
        1,
        "a reload would run it as root",
    ),
];

/// Edits `web` by a script of sh(1), to which the copy is `$0`.
fn edit(machine: &Machine, script: &str, more: &str) -> Output {
    let command = format!(
        "printf %s \"$1\" >/srv/script; EDITOR='sh -c \". /srv/script\"' rsgen edit web {more}"
    );
    machine.run(&["sh", "-c", &command, "edit", script])
}

/// Asserts that the file is this one, that the instances are the same, and that nothing is left for later edits to tell of.
fn assert_untouched(machine: &Machine, text: &str, before: &[u32]) {
    assert_eq!(machine.read(FILE), text);
    assert_eq!(pids(machine, 2), before);
    machine.sh("rm -rf /run/rsgen/:edit:web").ok();
}

fn a_valid_edit_replaces_the_instances_and_anything_else_changes_nothing(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "settle = 0");
    assert_exactly(machine, 2);
    let (text, before) = (machine.read(FILE), pids(machine, 2));
    for script in ["true", ": >\"$0\""] {
        edit(machine, script, "").ok().says("nothing to do");
    }
    for &(script, status, words) in REFUSED {
        let told = edit(machine, script, "").exits(status);
        assert!(told.stderr.contains(words), "{told}");
        let is_kept = told.stderr.contains("is kept in /run/rsgen/:edit:web/");
        assert_eq!(is_kept, script.starts_with("sed"), "{told}");
    }
    assert_untouched(machine, &text, &before);
    let nobody = machine.run(&["rsgen", "edit", "web"]).exits(2);
    assert!(
        nobody.stderr.contains("the editor needs a terminal"),
        "{nobody}"
    );

    let same = edit(machine, "true", "--dry-run").ok();
    assert!(
        !same.stderr.contains("is kept"),
        "nothing was typed: {same}"
    );
    a_comment_replaces_no_instance(machine, &before);
    let text = machine.read(FILE);
    let comment = "sed -i 's/^instances = .*/instances = 3 # for the feast/' \"$0\"";
    let dry = edit(machine, comment, "--dry-run").ok();
    dry.says("+instances = 3 # for the feast")
        .says("web: would reload")
        .says(&format!("is kept in {COPY}"));
    let install = machine.run(&["rsgen", "install", "--dry-run", COPY]).ok();
    install.says("+instances = 3 # for the feast");
    assert_untouched(machine, &text, &before);
    other_addresses_are_opened_beside_the_old_ones_or_refused(machine);
    assert_untouched(machine, &text, &before);
    machine
        .sh(&format!("chgrp mail {FILE}; chmod 640 {FILE}"))
        .ok();
    let load = Load::start(machine, &Traffic::on_port(3000, 5));
    load.wait_answered(50);
    let script = format!("echo noise; {comment}");
    let json = edit(machine, &script, "--json").ok();
    assert!(json.stdout.starts_with('{'), "{json}");
    json.says("\"reloaded\": [");
    load.wait_answered(50);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 3);
    let now = pids(machine, 3);
    assert!(before.iter().all(|pid| !now.contains(pid)));
    assert!(machine.read(FILE).contains("instances = 3 # for the feast"));
    let closed = format!("test ! -e {COPY} && test $(stat -c %a:%G {FILE}) = 640:mail");
    machine.sh(&closed).ok();
    let history = machine.run(&["rsgen", "history", "web"]).ok();
    history.says("edit: web.toml");
    a_reload_that_fails_puts_the_file_back(machine);
    // Nobody loses a moment of service.
    machine.run(&["rsgen", "stop", "web"]).ok();
    let family = "sed -i 's/^listen = .*/listen = \"127.0.0.1:3000\"/' \"$0\"";
    edit(machine, family, "--dry-run").ok();
}

fn a_comment_replaces_no_instance(machine: &Machine, before: &[u32]) {
    let remark = "echo '# a remark' >>\"$0\"";
    let dry = edit(machine, remark, "--dry-run").ok();
    assert!(!dry.stdout.contains("would reload"), "{dry}");
    let told = edit(machine, remark, "").ok();
    assert!(!told.stdout.contains("reloading"), "{told}");
    assert!(machine.read(FILE).ends_with("# a remark\n"));
    assert_eq!(pids(machine, 2), before);
    machine.run(&["rsgen", "install", FILE]).ok();
    assert_eq!(pids(machine, 2), before);
    machine.sh("rm -rf /run/rsgen/:edit:web").ok();
}

fn other_addresses_are_opened_beside_the_old_ones_or_refused(machine: &Machine) {
    let listen = "sed -i 's/^listen = .*/listen = 3001/' \"$0\"";
    let moves = edit(machine, listen, "--dry-run").ok();
    moves.says("web: would open 3001 in web:2.socket");
    let family = "sed -i 's/^listen = .*/listen = \"127.0.0.1:3000\"/' \"$0\"";
    let refused = edit(machine, family, "").exits(1);
    let help = "run `rsgen install /run/rsgen/:edit:web/2/web.toml --replace-listener`";
    assert!(refused.stderr.contains(help), "{refused}");
    let taken = "systemd-run -q --unit=taken python3 -m http.server 3001";
    machine.sh(taken).ok();
    wait_until(SOON, "another program", || machine.get(3001).is_ok());
    let refused = edit(machine, listen, "").exits(1);
    assert!(
        !refused.stderr.contains("start of web:2.socket"),
        "{refused}"
    );
    machine.systemctl(&["stop", "taken.service"]).ok();
}

fn a_reload_that_fails_puts_the_file_back(machine: &Machine) {
    let (text, before) = (machine.read(FILE), pids(machine, 3));
    machine.write("/srv/web/bad.js", "throw new Error('a bug');\n");
    let script = "sed -i 's/graceful/bad/' \"$0\"";
    let told = edit(machine, script, "").exits(1);
    let kept = format!("is kept in {COPY}");
    assert!(told.stderr.contains(&kept), "{told}");
    assert_eq!(machine.read(FILE), text);
    assert_eq!(pids(machine, 3), before);
    assert!(machine.read(COPY).contains("/srv/web/bad.js"));
}

fn two_edits_at_once_and_one_that_is_killed_lose_nothing(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "settle = 0");
    assert_exactly(machine, 2);
    let text = machine.read(FILE);
    let slow = "echo '# typed' >>\"$0\"; echo $PPID >/run/editing; while [ ! -e /run/go ]; do sleep 0.1; done";
    machine.write("/srv/slow", slow);
    let command = "EDITOR='sh -c \". /srv/slow\"' exec rsgen edit web";
    let begin = || {
        machine.sh("rm -f /run/editing /run/go").ok();
        let running = machine.spawn(&["sh", "-c", command]);
        wait_until(SOON, "the editor", || {
            machine.sh("test -s /run/editing").status == 0
        });
        running
    };
    let first = begin();
    let second = edit(machine, "true", "").exits(1);
    let told = "another `rsgen edit` has `web` open";
    assert!(second.stderr.contains(told), "{second}");
    let others = "runuser -u nobody -- ls /run/rsgen/:edit:web/1";
    assert_ne!(machine.sh(others).status, 0, "root's alone");
    // Somebody else changes the file meanwhile.
    machine
        .sh(&format!("echo '# theirs' >>{FILE}; touch /run/go"))
        .ok();
    let told = first.wait().exits(1);
    let words = "web.toml was changed while it was edited, and stays as it is now";
    assert!(told.stderr.contains(words), "{told}");
    assert_eq!(machine.read(FILE), format!("{text}# theirs\n"));
    assert_eq!(machine.read(COPY), format!("{text}# typed\n"));

    let killed = begin();
    machine
        .sh("kill -9 $(cat /run/editing); touch /run/go")
        .ok();
    assert_ne!(killed.wait().status, 0);
    assert_eq!(machine.read(FILE), format!("{text}# theirs\n"));
    wait_until(SOON, "the lock to be free", || {
        edit(machine, "true", "").status == 0
    });
    let next = edit(machine, "true", "").ok();
    next.says(
        "web: an earlier edit has left /run/rsgen/:edit:web/2/web.toml; an older copy is beside it",
    );
}

/// Begins `rsgen edit web` at a terminal: what is written to the pipe is typed, and what is shown goes to the file.
fn begin_at_a_terminal(machine: &Machine) {
    begin_with_a_keyboard(machine, "");
}

/// Does the same, with more words for the shell.
fn begin_with_a_keyboard(machine: &Machine, more: &str) {
    let script = "rm -f /run/shown /run/keys; mkfifo /run/keys; systemctl reset-failed terminal 2>/dev/null; \
        systemd-run -q --unit=terminal --remain-after-exit --setenv=TERM=xterm --setenv='EDITOR=sh /srv/editor' \
        sh -c 'exec 3<>/run/keys; script -qefc \"exec rsgen edit web MORE\" /run/shown <&3 >/dev/null'";
    machine.sh(&script.replace("MORE", more)).ok();
}

fn shows(machine: &Machine, words: &str, times: usize) {
    wait_until(SOON, &format!("{words:?}, {times} times"), || {
        let shown = machine.sh("cat /run/shown");
        shown.stdout.matches(words).count() == times
    });
}

fn types(machine: &Machine, keys: &str) {
    machine.sh(&format!("printf '{keys}' >/run/keys")).ok();
}

/// The exit status of the command at the terminal.
fn ends(machine: &Machine) -> String {
    wait_until(SOON, "the end of the command", || {
        machine.property("terminal.service", "SubState") != "running"
    });
    let status = machine.property("terminal.service", "ExecMainStatus");
    machine.sh("systemctl stop terminal").ok();
    status
}

fn a_person_is_asked_what_to_do_with_the_text(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "settle = 0");
    assert_exactly(machine, 2);
    let (text, before) = (machine.read(FILE), pids(machine, 2));
    // The first time it writes a fault, then a valid number. Ctrl-C is for the editor.
    let editor = "if grep -q '^instances = 2' \"$1\"; then \
        trap 'touch /run/broken' INT; touch /run/waits; while [ ! -e /run/broken ]; do sleep 0.1; done; \
        sed -i 's/^instances = 2/instances = many/' \"$1\"; \
        else sed -i 's/^instances = .*/instances = 3/' \"$1\"; fi\n";
    machine.write("/srv/editor", editor);
    begin_at_a_terminal(machine);
    wait_until(SOON, "the editor", || {
        machine.sh("test -e /run/waits").status == 0
    });
    types(machine, "\\003");
    shows(machine, INVALID, 1);
    shows(machine, "web.toml:", 1);
    types(machine, "\\377\\n");
    shows(machine, INVALID, 2);
    types(machine, "what\\n");
    shows(machine, INVALID, 3);
    assert_eq!(machine.read(FILE), text);
    types(machine, "e\\n");
    shows(machine, VALID, 1);
    shows(machine, "+instances = 3", 1);
    shows(machine, "web: would reload", 1);
    assert_eq!(pids(machine, 2), before, "nobody has agreed");
    types(machine, "d\\n");
    shows(machine, "discarded, so nothing was changed", 1);
    shows(machine, "is kept in", 1);
    assert_eq!(ends(machine), "1");
    assert_eq!(machine.read(FILE), text);

    begin_at_a_terminal(machine);
    shows(machine, INVALID, 1);
    types(machine, "d\\n");
    shows(machine, "is kept in", 1);
    assert_eq!(ends(machine), "3");
    change_during_the_question(machine, &text);
    // Nobody would see the question.
    begin_with_a_keyboard(machine, ">/run/out");
    assert_eq!(ends(machine), "3");
    begin_at_a_terminal(machine);
    shows(machine, INVALID, 1);
    types(machine, "e\\n");
    shows(machine, VALID, 1);
    // The app is stopped while the question is open.
    machine.run(&["rsgen", "stop", "web"]).ok();
    types(machine, "a\\n");
    shows(machine, "something changed while you were asked", 1);
    shows(machine, "web: would start", 1);
    machine.run(&["rsgen", "start", "web"]).ok();
    types(machine, "a\\n");
    shows(machine, VALID, 3);
    types(machine, "a\\n");
    assert_eq!(ends(machine), "0");
    assert_exactly(machine, 3);
}

/// Somebody else changes the file while the question is open. That is told as that alone.
fn change_during_the_question(machine: &Machine, text: &str) {
    begin_at_a_terminal(machine);
    shows(machine, INVALID, 1);
    types(machine, "e\\n");
    shows(machine, VALID, 1);
    machine.sh(&format!("echo '# theirs' >>{FILE}")).ok();
    types(machine, "a\\n");
    assert_eq!(ends(machine), "1");
    shows(machine, "was changed while it was edited", 1);
    shows(machine, "while you were asked", 0);
    assert_eq!(machine.read(FILE), format!("{text}# theirs\n"));
    machine.write(FILE, text);
}

fn what_cannot_be_edited_now_is_refused_before_the_editor_starts(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    assert_exactly(machine, 2);
    let (text, before) = (machine.read(FILE), pids(machine, 2));
    let refused = |words: &str| {
        for more in ["", "--dry-run"] {
            let told = edit(machine, "touch /run/edited", more).exits(1);
            assert!(told.stderr.contains(words), "{told}");
        }
        machine.sh("test ! -e /run/edited").ok();
    };
    let canary = ["rsgen", "reload", "web", "--canary-only"];
    machine.run(&canary).ok();
    refused("web@2.service is kept as a canary");
    machine.run(&["rsgen", "reload", "web", "--abort"]).ok();
    assert_eq!(machine.read(FILE), text);
    assert_eq!(pids(machine, 2), before);
    machine.run(&["rsgen", "pause", "web"]).ok();
    refused("`web` is paused");
    machine.run(&["rsgen", "resume", "web"]).ok();
    machine
        .sh(&format!("mv {FILE} /srv/web.toml; ln -s /dev/null {FILE}"))
        .ok();
    refused("`web` is masked");
    machine.sh(&format!("mv /srv/web.toml {FILE}")).ok();

    // What is left of an edit is that of the app, and goes with it.
    edit(machine, "echo nonsense >\"$0\"", "").exits(3);
    edit(machine, "echo nonsense >\"$0\"", "").exits(3);
    let told = edit(machine, "true", "").ok();
    let newest =
        "web: an earlier edit has left /run/rsgen/:edit:web/2/web.toml; an older copy is beside it";
    told.says(newest);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    machine.sh("test ! -e /run/rsgen/:edit:web").ok();
}
