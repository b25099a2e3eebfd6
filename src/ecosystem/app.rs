//! An app as the file describes it: every value checked, every default filled in.

use std::collections::BTreeMap;
use std::ops::Range;

pub use super::health::Probe;
pub use super::lifecycle::Lifecycle;
pub use super::program::Program;
pub use super::recycling::Recycling;
pub use super::rollout::Rollout;
pub use super::schedule::Times;
pub use super::watched::Watched;

use super::environments::{self, Environments};
use super::key::{Form, Kind, Reader, keys, number, of, text, word, word_of};
use super::port::{
    HANDOVERS, missing_addresses, read_addresses, read_handover, read_ready, read_socket,
    usual_handover, usual_ready,
};
use super::readers::{
    derived_name, read_account, read_env_file, read_instance_var, read_instances, read_name,
};
use super::schedule::schedule_place;
use super::tables::{read_directives, read_env};
use super::values::{Balance, Cpus, Handover, Instances, Listen, Ready, Sandbox};
use crate::unit::directive::Section;
use crate::unit::name::Units;
use crate::unit::{self, Assigned};

/// Directives that are passed through to the units unchanged: `(directive, value)`.
pub type Directives = Vec<(String, String)>;

keys! {
    /// An app of an ecosystem file.
    pub struct App {
        in Program {
            /// The name of the app and of its units.
            ///
            /// Letters, digits, `_`, `-` and `.`, at most 200 bytes; not `all` and not `drain`.
            name: String = text("\"web\"").read_by(read_name)
                .or_as("the script's file name without its extension", derived_name)
                .pm2("");
        }
        in Environment {
            /// The number of instances, up to 1024; `"max"` or 0 for one per CPU; -1 for one fewer.
            ///
            /// The CPUs are those that this system may use by affinity and quota, counted anew at each boot and each
            /// reload. There is always at least one instance. `rsgen install -i` and `rsgen scale` override the key until it is
            /// changed.
            instances: Instances = of(Form::Instances, "4", read_instances).or(|| Instances::Exactly(1))
                .pm2("`-2` makes a cluster, too");

            /// The CPUs of an instance: `"all"` that its unit may use, or `"spread"` for one of them, chosen by the number of the instance.
            ///
            /// With `"spread"`, instance 0 runs on the first of these CPUs, instance 1 on the second, and so on; after the last CPU,
            /// the first is used again. See [one CPU for each instance](#one-cpu-for-each-instance).
            cpus: Cpus = word().or(|| Cpus::All);

            /// The environment variable that holds the number of the instance, from 0; `""` for none.
            ///
            /// Variables of systemd and of the dynamic loader are refused.
            instance_var: Option<String> = of(Form::Text, "\"INSTANCE\"", read_instance_var)
                .or(|| Some("NODE_APP_INSTANCE".to_owned()))
                .pm2("");

            /// A table of environment variables, which every user can read: secrets belong in `env_file`.
            ///
            /// Numbers, true and false are passed as they are written. `"{3100 + i}"` gives each instance its own
            /// value: `i` is the number of the instance. A name that sounds like a secret gets a warning. The variables
            /// of a table `[apps.env_NAME]` override these with `--env NAME`, see [environments](#environments).
            env: BTreeMap<String, String> = of(Form::Variables, "{ KEY = \"value\" }", |f, key| Some(read_env(f, key))).or_none()
                .pm2("with the tables `env_NAME`, and `--env NAME`")
                .replaces(&["increment_var"], "env.PORT = \"{3100 + i}\"", "`i` is the number of the instance");

            /// A file of environment variables, or a list of up to 64 such files, relative to `cwd`.
            ///
            /// See `EnvironmentFile=` in systemd.exec(5). systemd reads the file as root at each start; if it is
            /// missing, `check` and `install` refuse the app, and an instance does not start. Wildcards are refused. A
            /// later file overrides an earlier one. If users other than root may write to the file, or to a folder above it,
            /// rsgen warns, and the file is [read with the rights of the app](security.md#environment-files).
            env_file: Vec<String> = of(Form::Texts, "\".env\"", read_env_file).or_none();

            /// The user of the processes, by name or number.
            ///
            /// The user has to exist, unless `DynamicUser` is set in `[apps.service]`. Without the key, `rsgen install`
            /// takes the owner of the script, or that of `cwd` if the script is a program of the system, and writes it into the
            /// installed file; see [whose processes](security.md#whose-processes). Ports below 1024 work for every user.
            user: Option<String> = of(Form::Account, "\"www-data\"", read_account)
                .or_as("the owner of the script", |_| None)
                .replaces(&["uid"], "user", "the processes are in all groups of the user");

            /// The group of the processes, by name or number.
            group: Option<String> = of(Form::Account, "\"www-data\"", read_account)
                .or_as("the user's group", |_| None)
                .replaces(&["gid"], "group", "");

            /// The directives of systemd.exec(5) that restrict instances: `"default"` restricts a program that does
            /// not run as root to what an ordinary server needs, `"strict"` restricts every program much further,
            /// `"off"` restricts nothing.
            ///
            /// A directive in `[apps.service]` replaces the sandbox's own. See [sandboxing](sandboxing.md).
            sandbox: Sandbox = word().or(|| Sandbox::Default);

            /// How readily the kernel kills an instance when memory runs out: -1000 for never, 1000 for first.
            ///
            /// See `OOMScoreAdjust=` in systemd.exec(5). Without the key, systemd's default applies.
            oom_score_adjust: Option<i32> = number(-1000, 1000).or_none();
        }
        in Socket {
            /// The address that all instances share, or a list of addresses: `3000`, `"127.0.0.1:3000"`,
            /// `"[::1]:3000"`, `"/run/app.sock"`, `"udp:5353"`; `[]` for a program that does not listen.
            ///
            /// With `[]` there is no socket. See [without a port](ecosystem.md#without-a-port). Without the key, which a job does
            /// not need, `rsgen install` starts the program once to see where it listens. See [a rehearsal](ecosystem.md#a-rehearsal).
            listen: Vec<Listen> = of(Form::Addresses, "3000", read_addresses)
                .or_as("what a rehearsal finds", missing_addresses)
                .replaces(&["port"], "listen = 3000", "all instances share one port; `env.PORT` sets the variable");

            /// How the program gets the socket: `"bind"` for an unmodified program, which calls bind(2), `"fds"` for a
            /// program that uses `sd_listen_fds(3)`.
            handover: Handover = word_of(HANDOVERS).read_by(read_handover)
                .or_as("`\"bind\"`, with `listen = []` none", usual_handover);

            /// What makes an instance READY: `"listen"` when the program calls listen(2), `"notify"` when it calls
            /// `sd_notify(3)`, `"message"` when a Node program calls `process.send('ready')` and listens, `"exec"` when the
            /// program has been started.
            ///
            /// `"listen"` needs `handover = "bind"`.
            ready: Ready = word().read_by(read_ready)
                .or_as("`\"listen\"`; with `handover = \"fds\"` and with `listen = []` `\"exec\"`", usual_ready)
                .replaces(&["wait_ready"], "ready = \"message\"", "");

            /// Which instance gets a connection: `"even"` gives each its share, by a listener for each and a selector in
            /// the kernel, `"source"` always gives a client's address to the same one, `"shared"` gives it to the first to
            /// accept from a shared listener; `"auto"` is `"shared"`.
            ///
            /// `"even"` and `"source"` need TCP, Linux 5.14 and the right to use bpf(2). See [balance](balance.md).
            balance: Balance = word().or(|| Balance::Auto);
        }
        in Directives {
            /// `[apps.unit]`: directives of systemd.unit(5) for each instance.
            unit: Directives = table("{ After = \"network-online.target\" }", |f, key| Some(read_directives(f, key, Section::Unit)))
                .or_none();

            /// `[apps.service]`: directives of systemd.service(5), systemd.exec(5), systemd.kill(5) and
            /// systemd.resource-control(5) for each instance.
            service: Directives = table("{ MemoryMax = \"300M\" }", |f, key| Some(read_directives(f, key, Section::Service)))
                .or_none();

            /// `[apps.socket]`: directives of systemd.socket(5) for the socket.
            socket: Directives = table("{ Backlog = 4096 }", |f, key| Some(read_socket(f, key)))
                .or_none();
        }
        with {
            /// How the program is started.
            program: Program = Program::read;
            /// The tables `env_NAME`, by the names that `--env` accepts.
            environments: Environments = environments::read;
            /// When an instance starts, stops and is given up.
            lifecycle: Lifecycle = Lifecycle::read;
            /// When an instance is healthy.
            probe: Probe = Probe::read;
            /// How a reload walks.
            rollout: Rollout = Rollout::read;
            /// Replacements of single instances.
            recycling: Recycling = Recycling::read;
            /// Runs and reloads at set times.
            times: Times = Times::read;
            /// Reloads when files change.
            watched: Watched = Watched::read;
            /// The place of the app's table or name in the text.
            span: Range<usize> = |f| f.place("name");
            /// The place of `script` in the text.
            script_span: Range<usize> = |f| f.place("script");
            /// The place of `cwd` in the text, or that of the app if there is no `cwd`.
            cwd_span: Range<usize> = |f| f.place("cwd");
            /// The place of `env_file` in the text.
            env_file_span: Range<usize> = |f| f.place("env_file");
            /// The place of `user` in the text, or that of the app if there is no `user`.
            user_span: Range<usize> = |f| f.place("user");
            /// The place of `group` in the text.
            group_span: Range<usize> = |f| f.place("group");
            /// The file whose owner became `user` because the app names no user.
            user_is_owner_of: Option<String> = |_| None;
            /// The program whose folder was put first in `PATH` because systemd does not search that folder.
            first_in_path: Option<String> = |_| None;
            /// Whether there is a `listen`; without one, the addresses have to be found out.
            is_listen_given: bool = |f| f.peek("listen").is_some() || super::schedule::is_job(f);
            /// The place of `listen` in the text.
            listen_span: Range<usize> = |f| f.place("listen");
            /// The place of the times of the schedule in the text.
            schedule_span: Range<usize> = schedule_place;
            /// The place of each directive of `service` in the text.
            service_spans: BTreeMap<String, Range<usize>> = |f| f.places("service");
            /// The place of each directive of `socket` in the text.
            socket_spans: BTreeMap<String, Range<usize>> = |f| f.places("socket");
        }
    }
}

const fn table(example: &'static str, read: Reader<Directives>) -> Kind<Directives> {
    of(Form::Directives, example, read)
}

impl App {
    /// The name of the app and its units.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The socket units that all instances share: none for a program that does not listen, and none if each
    /// instance has a listener of its own.
    #[must_use]
    pub fn sockets(&self) -> Vec<String> {
        if self.listen.is_empty() || self.is_even() {
            Vec::new()
        } else {
            vec![Units::of(&self.name).socket()]
        }
    }

    /// Whether each instance has a listener of its own.
    #[must_use]
    pub fn is_even(&self) -> bool {
        matches!(self.balance, Balance::Even | Balance::Source) && !self.listen.is_empty()
    }

    /// Whether the client's address chooses the instance.
    #[must_use]
    pub fn is_by_source(&self) -> bool {
        self.balance == Balance::Source && self.is_even()
    }

    /// The balance that the app has, as the key's word; `None` for a program that does not listen.
    #[must_use]
    pub fn balance_word(&self) -> Option<&'static str> {
        let word = match (self.is_even(), self.is_by_source()) {
            (_, true) => "source",
            (true, false) => "even",
            (false, false) => "shared",
        };
        (!self.listen.is_empty()).then_some(word)
    }

    /// The files of its socket units, templates included.
    #[must_use]
    pub fn socket_files(&self) -> Vec<String> {
        if self.is_even() {
            vec![Units::of(&self.name).listener_template()]
        } else {
            self.sockets()
        }
    }

    /// Whether the app is a job: a program that is started by its schedule and ends by itself.
    #[must_use]
    pub fn is_job(&self) -> bool {
        !self.times.schedule.is_empty()
    }

    /// Whether instances are replaced by themselves, before they fail.
    #[must_use]
    pub fn is_recycled(&self) -> bool {
        let keys = &self.recycling;
        !self.is_job() && (keys.max_memory_restart.is_some() || keys.max_uptime.is_some())
    }

    /// Whether systemd restarts an instance that has ended.
    #[must_use]
    pub fn is_restarted(&self) -> bool {
        self.lifecycle.autorestart && !self.is_job()
    }

    /// The times at which a job is started, or at which any other app is reloaded.
    #[must_use]
    pub fn schedule(&self) -> &[String] {
        if self.is_job() {
            &self.times.schedule
        } else {
            &self.times.reload_schedule
        }
    }

    /// The timer unit of the app, if the app has a schedule.
    #[must_use]
    pub fn timer(&self) -> Option<String> {
        (!self.schedule().is_empty()).then(|| Units::of(&self.name).timer())
    }

    /// How the program is started.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The user and the group of the processes, if the file names them.
    #[must_use]
    pub fn account(&self) -> (Option<&str>, Option<&str>) {
        (self.user.as_deref(), self.group.as_deref())
    }

    /// The environment variables of an instance, in which the specifier `%i` stands for its number.
    #[must_use]
    pub fn variables(&self) -> Vec<(&str, &str)> {
        let env = self.env.iter().map(|(key, value)| (&**key, &**value));
        env.chain(self.instance_var.as_deref().map(|key| (key, "%i")))
            .collect()
    }

    /// The assignments in the user's own table for a section.
    #[must_use]
    pub fn directives(&self, section: Section) -> &Directives {
        match section {
            Section::Unit => &self.unit,
            Section::Service => &self.service,
            Section::Socket => &self.socket,
            Section::Timer => &self.times.timer,
        }
    }

    /// The assignments of `[apps.service]` to a directive.
    #[must_use]
    pub fn assigned(&self, directive: &str) -> Assigned<'_> {
        unit::assigned(&self.service, directive)
    }

    /// Returns whether the listeners are non-blocking: they are, unless the user has turned `NonBlocking=` off, for a program that sleeps
    /// in accept(2). The flag belongs to a listener, so all units that systemd passes the listener to have to set the same flag.
    #[must_use]
    pub fn is_non_blocking(&self) -> bool {
        self.assigned("NonBlocking").boolean() != Some(false)
    }

    /// Returns whether systemd makes a user for each start, see `DynamicUser=` in systemd.exec(5).
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.assigned("DynamicUser").boolean() == Some(true)
    }

    /// Returns whether the app, if it belongs to the system manager, runs as root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        let named = self.user.as_deref();
        !self.is_dynamic() && named.is_none_or(|user| user == "root" || user == "0")
    }
}
