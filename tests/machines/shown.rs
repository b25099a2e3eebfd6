//! Text that rsgen shows is harmless: whatever a program, a name or a file contains, no terminal or journal interprets it.

use std::time::Duration;

use testbed::{Machine, Output, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, deploy, install, write_ecosystem};
use crate::user;

/// The output of `rude.js`, made visible.
const RUDE: &str = r"rude \x1b]52;c;ZXZpbA==\x07\x1b[2J\u{9b}2J\x0d\x7f\u{202e}backwards";

/// Code that is put before that of the server, so that the server dies as `rude.js` does.
const TURNS_RUDE: &str = "require('/srv/web/rude.js');\nconst http";

/// A reload stops a canary that has failed before systemd starts it again, so what it says is about the run that failed.
const ONE_TRY: &str = "restart_delay = \"5s\"";

/// Whether a terminal would interpret the character rather than show it.
fn is_obeyed(c: char) -> bool {
    let of_lines = c == '\n' || c == '\t';
    c.is_control() && !of_lines
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[track_caller]
fn assert_harmless(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(is_obeyed), "{text:?} of {}", output.command);
    }
}

/// Everything that the cluster unit has written to the journal, with the priority of each line.
fn journal_of_the_cluster(machine: &Machine) -> Output {
    let fields = "--output-fields=MESSAGE,PRIORITY";
    // Its processes are often gone before journald can tell of which unit they were, so their entries name it as well.
    let named = [
        "_SYSTEMD_UNIT=web.service",
        "+",
        "OBJECT_SYSTEMD_UNIT=web.service",
        "_UID=0",
    ];
    let json = machine.journalctl(&[&["-a", "-o", "json", fields], &named[..]].concat());
    json.ok()
}

/// Asserts that the journal has no control character, and no line whose priority was chosen by a program.
#[track_caller]
fn assert_harmless_journal(machine: &Machine) {
    let said = journal_of_the_cluster(machine);
    assert!(
        !said.stdout.contains("\\u001b") && !said.stdout.contains("\\u009b"),
        "{said}"
    );
    // journalctl shows a message that is not text as a list of numbers.
    assert!(!said.stdout.contains("\"MESSAGE\":["), "{said}");
    assert!(!said.stdout.contains("\"PRIORITY\":\"0\""), "{said}");
    assert_harmless(&said);
}

pub(crate) fn the_last_words_of_a_start_are_made_visible(machine: &mut Machine) {
    machine.write_app("rude.js", "/srv/web");
    write_ecosystem(machine, "rude.js", "1", "max_restarts = 2");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_harmless(&told);
    let told = told.says(RUDE).says("  <0>forged");
    // The text was made visible only once.
    assert!(!told.stdout.contains(r"\\x1b"), "{told}");
    assert_harmless_journal(machine);
    assert_harmless(&machine.run(&["rsgen", "list"]).ok().says("errored"));
    let json = machine.run(&["rsgen", "start", "web", "--json"]).exits(1);
    assert_harmless(&json);
}

pub(crate) fn the_last_words_of_a_reload_are_made_visible(machine: &mut Machine) {
    install(machine, "graceful.js", "2", ONE_TRY);
    machine.write_app("rude.js", "/srv/web");
    deploy(machine, "graceful.js", "const http", TURNS_RUDE);
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    assert_harmless(&told.says("the canary failed").says(RUDE));
    let said = journal_of_the_cluster(machine);
    // JSON doubles each backslash.
    assert!(said.stdout.contains(&RUDE.replace('\\', r"\\")), "{said}");
    assert_harmless_journal(machine);
    assert_harmless(&machine.run(&["cat", "/run/rsgen/web/walk.jsonl"]).ok());
}

pub(crate) fn a_reason_in_the_list_is_made_visible(machine: &mut Machine) {
    machine.write_app("rude.js", "/srv/web");
    write_ecosystem(machine, "rude.js", "1", "max_restarts = 2");
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let described = machine.run(&["rsgen", "describe", "web"]).ok();
    assert_harmless(&described.says("web@0 wrote:").says(RUDE));
    let reason = "it said \u{1b}[2J\u{9b}2J\u{202e}so";
    machine.write(
        "/run/rsgen/web/0.deaths",
        &format!("1 1 errored\n{reason}\n"),
    );
    let list = machine.run(&["rsgen", "list"]).ok();
    assert_harmless(&list.says(r"it said \x1b[2J\u{9b}2J\u{202e}so"));
    assert_harmless(&machine.run(&["rsgen", "list", "--json"]).ok().says("u202e"));
}

/// Python code that tells the manager a status, as every process of an instance may. It waits until systemd has taken the message in, see
/// `sd_notify_barrier(3)`: systemd could not tell from which unit the message of a process came that has ended.
const TELLS: &str = "
import os, socket
def tell(status):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.connect(os.environ['NOTIFY_SOCKET'])
    manager.send(('STATUS=' + status).encode())
    reader, writer = os.pipe()
    socket.send_fds(manager, [b'BARRIER=1'], [writer])
    os.close(writer)
    os.read(reader, 1)
evil = '\\x1b[2J\\u009b2J\\u202eso'
";

/// The statuses by which the worker tells what no later start would change, and which port is bound besides. systemd itself
/// makes blanks of control characters in a status.
pub(crate) fn a_status_that_a_program_forges_is_made_visible(machine: &mut Machine) {
    let shown = r"\x1b[2J\u{9b}2J\u{202e}so";
    machine.write_app("python.py", "/srv/web");
    let server = machine.read("/srv/web/python.py");
    let further =
        "tell(evil + ' is bound as well: add it to `listen`, or give each instance its own')";
    machine.write(
        "/srv/web/python.py",
        &format!("{TELLS}\n{further}\n{server}"),
    );
    let watch = "watch = true\nwatch_delay = \"100ms\"";
    write_ecosystem(machine, "python.py", "1", watch);
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_harmless(&told.says(r"2J\u{202e}so is bound as well"));
    let unit = "web:watch.service";
    wait_until(SOON, "the files to be watched", || {
        machine.journal(unit).contains("watching")
    });
    machine.write("/srv/web/\u{1b}[2J\u{9b}2J\u{202e}so", "");
    wait_until(SOON, "the change to be told", || {
        machine.journal(unit).contains(shown)
    });
    machine.run(&["rsgen", "uninstall", "web"]).ok();

    machine.write("/srv/taken.py", &server);
    let strange = "exec -a \"$(printf '\\033[2J')\" python3 /srv/taken.py";
    machine
        .run(&[
            "systemd-run",
            "--quiet",
            "--unit=other",
            "bash",
            "-c",
            strange,
        ])
        .ok();
    wait_until(SOON, "the port to be taken", || machine.get(3000).is_ok());
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_harmless(&told.says(r"`\x1b[2J /srv/taken.py`"));
    machine.systemctl(&["stop", "other"]).ok();

    let refused = format!("{TELLS}\ntell('refused: ' + evil)\nraise SystemExit(1)\n");
    machine.write("/srv/web/python.py", &refused);
    write_ecosystem(machine, "python.py", "1", "");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_harmless(&told.says(r"2J\u{202e}so"));
    assert_harmless(&machine.run(&["rsgen", "list"]).ok().says(r"2J\u{202e}so"));
    assert_harmless(&machine.run(&["rsgen", "list", "--json"]).ok().says("u202e"));
    assert_harmless_journal(machine);
}

pub(crate) fn names_and_values_are_made_visible(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let named = "/srv/web/a\u{1b}[2J\u{9b}\u{202e}\nb.toml";
    let text =
        "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nlisten = 3000\nenv.A = \"\u{202e}x\"\n";
    machine.write(named, text);
    let shown = r"/srv/web/a\x1b[2J\u{9b}\u{202e}\x0ab.toml";
    assert_harmless(&machine.run(&["rsgen", "check", named]).ok().says(shown));
    let diff = machine.run(&["rsgen", "install", "--dry-run", named]).ok();
    assert_harmless(&diff.says(r"A=\u{202e}x"));

    let unknown_key = "\"a\\u001bb\" = 1 # \u{9b}2J\u{202e}";
    machine.write(named, &format!("{text}{unknown_key}\n"));
    let faults = machine.run(&["rsgen", "check", named]).exits(3).says(shown);
    assert_harmless(&faults.says(r"# \u{9b}2J\u{202e}").says(r"a\x1bb"));
    assert_harmless(&machine.run(&["rsgen", "check", "--json", named]).exits(3));

    let evil = "\u{1b}]0;x\u{7}\u{202e}\nerror: no";
    for arguments in [
        &["stop", evil][..],
        &["list", evil],
        &["check", evil],
        &[evil],
        &["list", &format!("--{evil}")],
        &["install", "-i", evil, "x.js"],
        &["install", "--listen", evil, "x.js"],
        &["--color", evil, "list"],
    ] {
        let told = machine.run(&[&["rsgen"], arguments].concat());
        assert_harmless(&told);
        assert!(!told.stderr.contains("\nerror: no"), "{told}");
        // In its own refusals systemd 262 has already escaped some characters.
        let shown = told.to_string().replace(r"\\x", r"\x");
        assert!(shown.contains(r"\x1b]0;x\x07\u{202e}\x0a"), "{told}");
    }
}

pub(crate) fn worker_and_generator_write_one_line_for_each_fault(machine: &mut Machine) {
    let evil = "x\n<0>forged\u{1b}[2J\u{9b}2J";
    let told = machine
        .run(&[
            "/usr/lib/rsgen/bin/rsgen-worker",
            "run",
            "--app=web",
            &format!("--instance={evil}"),
        ])
        .exits(2);
    assert_harmless(&told);
    assert_eq!(told.stderr.lines().count(), 1, "{told}");
    let line = r"<3>rsgen: `--instance=x\x0a<0>forged\x1b[2J\u{9b}2J` is not an argument of `run`";
    assert!(told.stderr.starts_with(line), "{told}");
    let long = format!("--instance={}", "x".repeat(100_000));
    let told = machine
        .run(&["/usr/lib/rsgen/bin/rsgen-worker", "run", "--app=web", &long])
        .exits(2);
    assert!(told.stderr.len() < 48 << 10 && told.stderr.ends_with("…\n"));

    machine.write("/etc/rsgen/a\u{1b}[2J\n<0>forged.toml", "");
    let generator = "/usr/lib/systemd/system-generators/rsgen-generator /run/out /run/out /run/out";
    // With a kernel log buffer the lines would go there.
    let told = machine.sh(&format!(
        "mkdir /run/out; rm -f /dev/kmsg; mkdir /dev/kmsg; {generator}"
    ));
    assert_harmless(&told);
    let lines: Vec<&str> = told.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].starts_with("<3>rsgen-generator["), "{told}");
    assert!(lines[0].contains(r"a\x1b[2J\x0a<0>forged.toml: "), "{told}");
}

pub(crate) fn colours_are_those_of_rsgen_alone(machine: &mut Machine) {
    install(machine, "graceful", "1", "");
    let list = machine.run(&["rsgen", "--color", "always", "list"]).ok();
    list.says("\u{1b}[1m\u{1b}[32monline\u{1b}[0m");
    let text = "[[apps]]\nname = \"web\"\n\"\\u001b[32mgreen\" = 1\n";
    machine.write("/root/green.toml", text);
    let check = machine.run(&["rsgen", "--color", "always", "check", "/root/green.toml"]);
    let told = check.exits(3).says("\u{1b}[1m").says(r"`\x1b[32mgreen`");
    assert!(!told.stderr.contains("\u{1b}[32mgreen"), "{told:?}");
}

/// Starts a command that fails, with a journald that reads nothing until another command is done, such as one that finds the instance given
/// up. So no process is there any more whose unit and run journald could look up.
fn with_a_late_journal(machine: &Machine, command: &[&str], is_over: &[&str]) -> Output {
    let journald = machine.property("systemd-journald.service", "MainPID");
    machine.run(&["kill", "-STOP", &journald]).ok();
    let failing = machine.spawn(command);
    wait_until(SOON, "what is to fail", || machine.run(is_over).status == 0);
    machine.run(&["kill", "-CONT", &journald]).ok();
    failing.wait().exits(1)
}

pub(crate) fn words_that_the_journal_could_give_to_no_run_are_seen(machine: &mut Machine) {
    user::log_in(machine);
    machine.write_app("rude.js", "/home/worker");
    let app = "[[apps]]\nname = \"web\"\nscript = \"rude.js\"\nlisten = 3000\ninstances = 1\nmax_restarts = 2\n";
    machine.write("/home/worker/ecosystem.toml", app);
    let install = user::command("rsgen --user install ecosystem.toml");
    let install = install.each_ref().map(String::as_str);
    let given_up = ["grep", "-q", "errored", "/run/user/1500/rsgen/web/0.deaths"];
    let told = with_a_late_journal(machine, &install, &given_up);
    assert_harmless(&told.says(RUDE));

    machine.write_app("rude.js", "/srv/web");
    for user in ["www-data", "root"] {
        let lines = format!("max_restarts = 2\nuser = \"{user}\"");
        write_ecosystem(machine, "rude.js", "1", &lines);
        let install = ["rsgen", "install", ECOSYSTEM];
        let given_up = ["grep", "-q", "errored", "/run/rsgen/web/0.deaths"];
        let told = with_a_late_journal(machine, &install, &given_up);
        assert_harmless(&told.says(RUDE));
        machine.run(&["rsgen", "uninstall", "web"]).ok();
    }
}

pub(crate) fn words_of_a_cluster_unit_that_journald_could_not_look_up_are_seen(
    machine: &mut Machine,
) {
    machine.write_app("rude.js", "/srv/web");
    write_ecosystem(machine, "rude.js", "1", "max_restarts = 2");
    let install = ["rsgen", "install", ECOSYSTEM];
    let has_failed = ["systemctl", "is-failed", "--quiet", "web.service"];
    let told = with_a_late_journal(machine, &install, &has_failed);
    told.says("error: none of 1 instances serves");
    let app = "[[apps]]\nname = \"web\"\nscript = \"graceful.js\"\nlisten = 3000\n";
    machine.write(ECOSYSTEM, app);
    machine.write_app("graceful.js", "/srv/web");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    // A control process of the unit, such as that of a reload, is known by no more than the run.
    let named = ["OBJECT_SYSTEMD_UNIT=web.service", "_UID=0", "--output=cat"];
    let run = machine.property("web.service", "InvocationID");
    machine.run(&["rsgen", "reload", "web"]).ok();
    let run = format!("INVOCATION_ID={run}");
    let told = machine.journalctl(&[&named[..], &[&run]].concat());
    told.says("1 of 1 serving").says("replacing 1 instance");
}

/// A command by which an ordinary user logs as `web@N.service`, with the invocation ID of the app's own unit. Each process is there long
/// enough for journald to look it up.
fn pretender(number: u32) -> String {
    let unit = format!("web@{number}.service");
    format!(
        "#!/bin/sh
while :; do
    ln -sfn \"$(systemctl show -P InvocationID {unit})\" \"$XDG_RUNTIME_DIR/systemd/units/invocation:{unit}\"
    systemd-cat -t web sh -c 'echo words of a pretender; sleep 0.3'
done
"
    )
}

fn pretend(machine: &Machine, number: u32) {
    user::log_in(machine);
    machine.write("/home/worker/pretender", &pretender(number));
    machine.write(
        "/home/worker/.config/systemd/user/web@.service",
        "[Service]\nExecStart=/bin/sh /home/worker/pretender\n",
    );
    machine
        .run(&["chown", "-R", "worker:", "/home/worker"])
        .ok();
    user::run(
        machine,
        &format!("systemctl --user start web@{number}.service"),
    )
    .ok();
}

fn has_forged(machine: &Machine, invocation: &str) -> bool {
    let forged = format!("_SYSTEMD_INVOCATION_ID={invocation}");
    let words = machine.journalctl(&["-o", "cat", &forged, "_UID=1500"]);
    words.stdout.contains("words of a pretender")
}

pub(crate) fn a_users_unit_of_the_same_name_has_no_say_in_a_start(machine: &mut Machine) {
    pretend(machine, 0);
    machine.write_app("rude.js", "/srv/web");
    write_ecosystem(
        machine,
        "rude.js",
        "1",
        "max_restarts = 2\nrestart_delay = \"1s\"",
    );
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert!(!told.to_string().contains("pretender"), "{told}");
    told.says(RUDE);
    let fields = "--output-fields=_SYSTEMD_UNIT";
    let of_user = "_SYSTEMD_USER_UNIT=web@0.service";
    let carried = machine.journalctl(&["-o", "json", fields, of_user]).ok();
    let is_told_apart = |line: &str| line.contains("\"_SYSTEMD_UNIT\":\"user@1500.service\"");
    assert!(carried.text().lines().all(is_told_apart), "{carried}");
    assert!(!carried.text().is_empty());
}

pub(crate) fn a_forged_invocation_has_no_say_in_a_reload(machine: &mut Machine) {
    install(machine, "graceful.js", "1", ONE_TRY);
    pretend(machine, 1);
    machine.write_app("rude.js", "/srv/web");
    let dies_later = "setTimeout(() => require('/srv/web/rude.js'), 4000);\n";
    machine.write("/srv/web/graceful.js", dies_later);
    let reload = machine.spawn(&["rsgen", "reload", "web"]);
    let mut canary = String::new();
    wait_until(SOON, "the canary", || {
        canary = machine.property("web@1.service", "InvocationID");
        !canary.is_empty()
    });
    assert_harmless(&reload.wait().exits(1));
    wait_until(SOON, "the forged words", || has_forged(machine, &canary));
    let said = journal_of_the_cluster(machine);
    assert!(!said.stdout.contains("pretender"), "{said}");
    assert!(said.stdout.contains("backwards"), "{said}");
}

pub(crate) fn a_journal_that_hangs_or_floods_holds_nothing_up(machine: &mut Machine) {
    machine.write_app("rude.js", "/srv/web");
    write_ecosystem(machine, "rude.js", "1", "max_restarts = 1");
    for program in ["exec sleep 100", "exec yes", "exec tr '\\0' x </dev/zero"] {
        machine.write("/root/journalctl", &format!("#!/bin/sh\n{program}\n"));
        machine
            .sh("chmod +x /root/journalctl && mount --bind /root/journalctl /usr/bin/journalctl")
            .ok();
        let told = machine.run(&["rsgen", "install", ECOSYSTEM]);
        // The program may still be on its way out.
        machine.sh("umount -l /usr/bin/journalctl").ok();
        let told = told.exits(1);
        assert!(told.took < Duration::from_mins(1), "{told}");
        assert!(told.stdout.len() < 20_000, "{} bytes", told.stdout.len());
    }
}
