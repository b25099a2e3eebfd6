//! `make demo`: shows rsgen on a machine of its own.
//!
//! An unmodified Node server becomes a cluster; it is reloaded under load, and then a build that
//! crashes is deployed under load. All printed numbers are measured. The exit status is 1 if a request was lost or a command
//! did not end as expected.

#![expect(clippy::print_stdout, reason = "it is made to be read")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use testbed::load::Report;
use testbed::{Load, Machine, Output, Release, Traffic};

const SERVER: &str = "\
const http = require('http');
const hello = `version 1, instance ${process.env.NODE_APP_INSTANCE}`;
const server = http.createServer((request, response) => response.end(hello));
server.listen(3000);
";

const ECOSYSTEM: &str = "\
[[apps]]
name = \"web\"
script = \"server.js\"
listen = 3000
instances = 4
";

const CLIENTS: usize = 20;

fn main() -> ExitCode {
    let mut demo = Demo::begin();
    demo.install();
    demo.load();
    demo.reload();
    demo.crash();
    demo.end()
}

struct Demo {
    machine: Machine,
    start: Instant,
    sent: u64,
    lost: u64,
    surprises: Vec<String>,
}

impl Demo {
    fn begin() -> Self {
        let start = Instant::now();
        println!(
            "Booting a machine of its own: Debian 13, systemd 257. Nothing touches this host."
        );
        let machine = Machine::with_rsgen(Release::Debian13);
        println!("It is up after {}.", seconds(start.elapsed()));
        Self {
            machine,
            start,
            sent: 0,
            lost: 0,
            surprises: vec![],
        }
    }

    fn install(&mut self) {
        title("A Node server that knows nothing of clusters, and its ecosystem file");
        self.machine.write("/srv/web/server.js", SERVER);
        self.machine.write("/srv/web/ecosystem.toml", ECOSYSTEM);
        show("/srv/web/server.js", SERVER);
        show("/srv/web/ecosystem.toml", ECOSYSTEM);
        self.rsgen("install /srv/web/ecosystem.toml", 0).ok();
        self.rsgen("list", 0);
    }

    fn load(&mut self) {
        title("Four processes answer on one port");
        println!("{CLIENTS} clients ask as fast as they can, each request on a new connection …");
        let load = self.start_load();
        load.wait_answered(3000);
        let report = self.count(load);
        for (body, count) in &report.bodies {
            println!("    {count:>6} × {body:?}");
        }
    }

    fn reload(&mut self) {
        title("A new version, deployed under the same load");
        self.deploy(&SERVER.replace("version 1", "version 2"));
        let load = self.start_load();
        load.wait_answered(500);
        self.rsgen("reload web", 0);
        load.wait_answered(500);
        let report = self.count(load);
        let (old, new) = (report.with("version 1"), report.with("version 2"));
        println!("    {old} of version 1, then {new} of version 2");
        self.expect(new > 0, "the new version never answered");
    }

    fn crash(&mut self) {
        title("A version that crashes at its start, deployed under the same load");
        self.deploy(&format!("throw new Error('a bug');\n{SERVER}"));
        let load = self.start_load();
        load.wait_answered(500);
        self.rsgen("reload web", 1);
        load.wait_answered(500);
        let report = self.count(load);
        let old = report.with("version 2");
        println!(
            "    {old} of version 2: the reload failed and said so, every instance keeps serving"
        );
        self.expect(old == report.ok, "something else than version 2 answered");
        self.rsgen("list", 0);
    }

    fn end(self) -> ExitCode {
        title("Summary");
        let (sent, lost) = (self.sent, self.lost);
        println!(
            "{sent} requests sent, {lost} lost, {} in all.",
            seconds(self.start.elapsed())
        );
        for surprise in &self.surprises {
            println!("error: {surprise}");
        }
        if self.surprises.is_empty() && lost == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn deploy(&self, server: &str) {
        self.machine.write("/srv/web/server.js", server);
        println!(
            "/srv/web/server.js now begins with: {}",
            server.lines().next().unwrap_or_default()
        );
    }

    /// Runs a command as a user would, and shows it.
    fn rsgen(&mut self, arguments: &str, status: i32) -> Output {
        let command = format!("rsgen {arguments}");
        println!("$ {command}");
        let output = self.machine.sh(&format!("{command} 2>&1"));
        for line in output.stdout.lines() {
            println!("    {line}");
        }
        println!("  status {} after {}", output.status, seconds(output.took));
        self.expect(
            output.status == status,
            &format!(
                "`{command}` ended with {} instead of {status}",
                output.status
            ),
        );
        output
    }

    fn start_load(&self) -> Load {
        Load::start(
            &self.machine,
            &Traffic::on_port(3000, CLIENTS).pause(Duration::ZERO),
        )
    }

    fn count(&mut self, load: Load) -> Report {
        let report = load.stop();
        println!(
            "  {} requests: {} answered, {} lost; half within {:.0} ms, the slowest in {:.0} ms",
            report.sent, report.ok, report.lost, report.p50_ms, report.max_ms
        );
        for (loss, count) in &report.losses {
            println!("    {count:>6} × lost: {loss:?}");
        }
        self.sent += report.sent;
        self.lost += report.lost;
        report
    }

    fn expect(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.surprises.push(otherwise.to_owned());
        }
    }
}

fn title(text: &str) {
    println!("\n== {text}\n");
}

fn show(path: &str, text: &str) {
    println!("{path}");
    for line in text.lines() {
        println!("    {line}");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
