//! The contenders: the bare program, rsgen with one instance and with four behind each `balance`, and PM2 with four.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use testbed::load::Report;
use testbed::{Load, Machine, Traffic, nap, wait_until};

/// A server that does not start while the file /srv/bench/broken exists. A request for `/20` takes 20 ms.
/// SIGUSR2 blocks the event loop for half of the time.
pub(crate) const SERVER: &str = "\
if (require('fs').existsSync('/srv/bench/broken')) process.exit(1);
const http = require('http');
http.createServer((request, response) => {
  const milliseconds = Number(request.url.slice(1));
  const answer = () => response.end(`pid ${process.pid}`);
  if (milliseconds) setTimeout(answer, milliseconds); else answer();
}).listen(process.env.PORT);
process.on('SIGUSR2', () => setInterval(() => {
  const end = Date.now() + 100;
  while (Date.now() < end);
}, 200));
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
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) instances: usize,
    /// The key `balance`, of [`Kind::Rsgen`].
    balance: &'static str,
    /// More lines of the ecosystem file, of [`Kind::Rsgen`].
    keys: &'static str,
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
    /// The contenders of the sections that compare managers.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::new("bare node", Kind::Bare, 3000, 1, ""),
            Self::new("rsgen, 1 instance", Kind::Rsgen, 3001, 1, "shared"),
        ];
        all.extend(Self::clusters(3002, 4));
        all
    }

    /// A cluster behind each `balance`, and one of PM2, on three ports from `port`.
    pub(crate) fn clusters(port: u16, instances: usize) -> [Self; 3] {
        let name = |which: &str| format!("{which}, {instances} instances");
        let new =
            |which, kind, port, balance| Self::new(&name(which), kind, port, instances, balance);
        [
            new("rsgen, shared", Kind::Rsgen, port, "shared"),
            new("rsgen, even", Kind::Rsgen, port + 1, "even"),
            new("PM2", Kind::Pm2, port + 2, ""),
        ]
    }

    fn new(name: &str, kind: Kind, port: u16, instances: usize, balance: &'static str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            kind,
            port,
            instances,
            balance,
            keys: "",
        }
    }

    /// Clusters with reloads that do not wait for `settle`, like those of PM2: one by one, and all at once.
    pub(crate) fn without_settle(port: u16, instances: usize) -> [Self; 2] {
        let new = |pace, port, keys| Self {
            keys,
            ..Self::new(
                &format!("rsgen, settle = 0, {pace}"),
                Kind::Rsgen,
                port,
                instances,
                "shared",
            )
        };
        [
            new("one by one", port, "settle = 0\n"),
            new("all at once", port + 1, "settle = 0\nsurge = \"100%\"\n"),
        ]
    }

    pub(crate) fn start(&self, machine: &Machine) {
        let (port, instances) = (self.port, self.instances);
        match self.kind {
            Kind::Bare => {
                let bare = "systemd-run --unit=bare -E PORT";
                machine
                    .sh(&format!("{bare}={port} node /srv/bench/server.js"))
                    .ok();
            }
            Kind::Rsgen => {
                let (file, balance) = (format!("/srv/bench/app{port}.toml"), self.balance);
                let app = format!(
                    "[[apps]]\nname = \"app{port}\"\nscript = \"server.js\"\nuser = \"www-data\"\n\
                     listen = {port}\ninstances = {instances}\nbalance = \"{balance}\"\nmax_restarts = 2\n\
                     env = {{ PORT = \"{port}\" }}\n{}",
                    self.keys
                );
                machine.write(&file, &app);
                machine.run(&["rsgen", "install", &file]).ok();
            }
            Kind::Pm2 => {
                machine
                    .sh(&format!(
                        "systemd-run --unit=pm2-{port} -E PM2_HOME=/srv/pm2-{port} -E PORT={port} \
                         node /srv/bench/node_modules/pm2/bin/pm2 start /srv/bench/server.js -i {instances} --no-daemon"
                    ))
                    .ok();
            }
        }
        wait_until(Duration::from_mins(2), &self.name, || {
            machine.get(port).is_ok()
        });
        // The last instance may be ready only after the first answer.
        nap(Duration::from_secs(2));
    }

    /// Stops and removes a cluster.
    pub(crate) fn remove(&self, machine: &Machine) {
        let port = self.port;
        match self.kind {
            Kind::Bare => machine.run(&["systemctl", "stop", "bare"]),
            Kind::Rsgen => machine.run(&["rsgen", "uninstall", &format!("app{port}")]),
            Kind::Pm2 => machine.run(&["systemctl", "stop", &format!("pm2-{port}")]),
        };
    }

    /// The processor time in nanoseconds that the instances and their manager have used so far.
    pub(crate) fn cpu(&self, machine: &Machine) -> u64 {
        let port = self.port;
        let unit = match self.kind {
            Kind::Bare => "bare.service".to_owned(),
            Kind::Rsgen => format!("system-app{port}.slice"),
            Kind::Pm2 => format!("pm2-{port}.service"),
        };
        let show = ["systemctl", "show", "--value", "-p", "CPUUsageNSec", &unit];
        machine.run(&show).ok().text().parse().unwrap_or(0)
    }

    /// The number of open connections of each process, the largest first.
    pub(crate) fn connections(&self, machine: &Machine) -> Vec<usize> {
        let port = format!("sport = :{}", self.port);
        let shown = machine.run(&["ss", "-Htnp", "state", "established", &port]);
        let mut of: BTreeMap<&str, usize> = BTreeMap::new();
        let owners = shown.text().split("pid=").skip(1);
        for pid in owners.filter_map(|rest| rest.split(',').next()) {
            *of.entry(pid).or_default() += 1;
        }
        let mut counts: Vec<usize> = of.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts.resize(self.instances.max(counts.len()), 0);
        counts
    }

    /// Traffic of the section's usual kind.
    pub(crate) fn traffic(&self, clients: usize, keep_alive: bool) -> Traffic {
        let traffic = Traffic::on_port(self.port, clients)
            .path("/0")
            .pause(Duration::ZERO);
        if keep_alive {
            traffic.keep_alive()
        } else {
            traffic
        }
    }

    pub(crate) fn load(
        &self,
        machine: &Machine,
        clients: usize,
        keep_alive: bool,
        time: Duration,
    ) -> Report {
        let load = Load::start(machine, &self.traffic(clients, keep_alive));
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
                    .sh(&format!(
                        "PM2_HOME=/srv/pm2-{} node /srv/bench/node_modules/pm2/bin/pm2 reload all",
                        self.port
                    ))
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
            Kind::Pm2 => format!("systemctl show --value -p MainPID pm2-{}", self.port),
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
