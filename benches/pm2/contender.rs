//! The contenders: the bare program, rsgen with one instance and with four, and PM2 with four.

use std::path::PathBuf;
use std::time::Duration;

use testbed::load::Report;
use testbed::{Load, Machine, Traffic, nap, wait_until};

const SERVER: &str = "\
const http = require('http');
http.createServer((request, response) => {
  const milliseconds = Number(request.url.slice(1));
  const answer = () => response.end(`pid ${process.pid}`);
  if (milliseconds) setTimeout(answer, milliseconds); else answer();
}).listen(process.env.PORT);
";

/// How a contender is started and reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The program with a listener of its own.
    Bare,
    Rsgen,
    Pm2,
}

/// A contender.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) instances: usize,
}

/// Installs the program and PM2 on the machine.
pub(crate) fn prepare(machine: &Machine) -> Result<(), String> {
    machine.write("/srv/bench/server.js", SERVER);
    let modules = std::env::var_os("PM2_MODULES").map(PathBuf::from);
    let modules = modules.filter(|m| m.join("pm2/bin/pm2").exists());
    let Some(modules) = modules else {
        return Err("PM2 is not there; `make bench` fetches it".into());
    };
    machine.copy_in(&modules, "/srv/bench/node_modules");
    Ok(())
}

impl Contender {
    pub(crate) fn all() -> [Self; 4] {
        let new = |name, kind, port, instances| Self {
            name,
            kind,
            port,
            instances,
        };
        [
            new("bare node", Kind::Bare, 3000, 1),
            new("rsgen, 1 instance", Kind::Rsgen, 3001, 1),
            new("rsgen, 4 instances", Kind::Rsgen, 3002, 4),
            new("PM2, 4 instances", Kind::Pm2, 3003, 4),
        ]
    }

    pub(crate) fn start(&self, machine: &Machine) {
        let port = self.port;
        match self.kind {
            Kind::Bare => {
                machine
                    .sh(&format!(
                        "systemd-run --unit=bare -E PORT={port} node /srv/bench/server.js"
                    ))
                    .ok();
            }
            Kind::Rsgen => {
                let (file, instances) = (format!("/srv/bench/app{port}.toml"), self.instances);
                let app = format!(
                    "[[apps]]\nname = \"app{port}\"\nscript = \"server.js\"\nlisten = {port}\n\
                     instances = {instances}\nenv = {{ PORT = \"{port}\" }}\n"
                );
                machine.write(&file, &app);
                machine.run(&["rsgen", "install", &file]).ok();
            }
            Kind::Pm2 => {
                machine
                    .sh(&format!(
                        "systemd-run --unit=pm2 -E PM2_HOME=/srv/pm2 -E PORT={port} \
                         node /srv/bench/node_modules/pm2/bin/pm2 start /srv/bench/server.js -i {} --no-daemon",
                        self.instances
                    ))
                    .ok();
            }
        }
        wait_until(Duration::from_mins(1), self.name, || {
            machine.get(port).is_ok()
        });
        // The last instance may be ready only after the first answer.
        nap(Duration::from_secs(2));
    }

    pub(crate) fn load(
        &self,
        machine: &Machine,
        clients: usize,
        keep_alive: bool,
        time: Duration,
    ) -> Report {
        let traffic = Traffic::on_port(self.port, clients)
            .path("/0")
            .pause(Duration::ZERO);
        let traffic = if keep_alive {
            traffic.keep_alive()
        } else {
            traffic
        };
        let load = Load::start(machine, &traffic);
        nap(time);
        load.stop()
    }

    pub(crate) fn reload(&self, machine: &Machine) {
        match self.kind {
            Kind::Bare => {}
            Kind::Rsgen => {
                machine
                    .run(&["rsgen", "reload", &format!("app{}", self.port)])
                    .ok();
            }
            Kind::Pm2 => {
                machine
                    .sh("PM2_HOME=/srv/pm2 node /srv/bench/node_modules/pm2/bin/pm2 reload all")
                    .ok();
            }
        }
    }

    /// The memory in kilobytes of all processes that run beside the program because of its manager.
    pub(crate) fn overhead(&self, machine: &Machine) -> f64 {
        let pids = match self.kind {
            Kind::Bare => return 0.0,
            // The helpers of the handover: the processes in the instances that are not the program.
            Kind::Rsgen => format!(
                "for unit in $(systemctl list-units --plain --no-legend 'app{0}@*' | cut -d' ' -f1); do \
                 main=$(systemctl show --value -p MainPID $unit); \
                 cat /sys/fs/cgroup$(systemctl show --value -p ControlGroup $unit)/cgroup.procs | grep -v \"^$main$\"; done",
                self.port
            ),
            Kind::Pm2 => "systemctl show --value -p MainPID pm2".to_owned(),
        };
        let sum = format!(
            "for pid in $({pids}); do cat /proc/$pid/smaps_rollup; done | awk '/^Pss:/ {{ n += $2 }} END {{ print n }}'"
        );
        machine
            .sh(&sum)
            .ok()
            .text()
            .trim()
            .parse()
            .unwrap_or(f64::NAN)
    }
}
