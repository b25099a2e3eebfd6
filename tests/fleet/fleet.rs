//! Three machines with sshd behind a fourth with a load balancer, and a controlling machine with Ansible on their network.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testbed::packages::packages;
use testbed::{Load, Machine, Network, Output, Release, Traffic, target_dir, wait_until};

/// A deadline for everything but playbooks.
pub(crate) const SOON: Duration = Duration::from_secs(90);
/// The app's port, on each host and at the load balancer.
const PORT: u16 = 3000;
/// The time limit of a playbook in seconds, see timeout(1).
const PLAY: &str = "300";

const HAPROXY: &str = "\
global
    maxconn 1000
    stats socket /run/haproxy.sock
defaults
    mode http
    timeout connect 30s
    timeout client 60s
    timeout server 60s
    timeout check 30s
frontend all
    bind :3000
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /
    default-server inter 200ms fall 2 rise 2 check
";

/// A playbook that removes the app and the file of its secrets.
pub(crate) const REMOVE: &str = "\
- hosts: all
  gather_facts: false
  roles:
    - role: rsgen.rsgen.rsgen_app
      rsgen_app_name: web
      rsgen_app_state: absent
      rsgen_app_env_file: \"{{ place | default(omit) }}\"
";

/// One of the machines that run the app.
pub(crate) struct Host {
    /// The name in the inventory.
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) machine: Machine,
}

impl Host {
    /// The main PIDs of the app's instances.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let pid = |i| self.machine.main_pid(&format!("web@{i}.service"));
        (0..2).map(pid).collect()
    }

    /// Sends a request to this host, not through the load balancer.
    pub(crate) fn ask(&self) -> String {
        let answer = self.machine.get(PORT);
        answer.unwrap_or_else(|e| panic!("{}: {e:?}", self.name))
    }
}

/// All machines; they end with this value.
pub(crate) struct Fleet {
    pub(crate) hosts: Vec<Host>,
    balancer: Machine,
    front: SocketAddr,
    network: Network,
    /// The folder of the controlling machine.
    room: tempfile::TempDir,
}

impl Fleet {
    /// Starts this many hosts without rsgen and without an app, on which root can log in with a key. `variables` are lines for
    /// the inventory.
    pub(crate) fn of(count: u8, variables: &str) -> Self {
        let network = Network::new();
        let room = tempfile::tempdir().expect("a folder");
        let key = make_key(room.path());
        let balancer = Machine::boot(Release::Debian13);
        let front = SocketAddr::new(network.plug(&balancer, 2).into(), PORT);
        let hosts: Vec<Host> = (1..=count)
            .map(|number| {
                let machine = Machine::boot(Release::Debian13);
                let address = network.plug(&machine, 10 + number);
                open_ssh(&machine, &key);
                let name = format!("web{number}");
                Host {
                    name,
                    address,
                    machine,
                }
            })
            .collect();
        balance(&balancer, &hosts);
        let fleet = Self {
            hosts,
            balancer,
            front,
            network,
            room,
        };
        fleet.prepare_control(variables);
        fleet
    }

    /// Starts one host, and writes the program that the playbooks deploy, and these playbooks.
    pub(crate) fn of_one(playbooks: &[(&str, &str)]) -> Self {
        let fleet = Self::of(1, "");
        fleet.machine().write_app("echo.js", "/srv/web");
        for (name, text) in playbooks.iter().chain(&[("remove.yml", REMOVE)]) {
            fleet.write(name, text);
        }
        fleet
    }

    /// The machine of the first host.
    pub(crate) fn machine(&self) -> &Machine {
        &self.hosts[0].machine
    }

    /// Writes what a user would have beside the playbooks: an inventory, known hosts, the collection.
    fn prepare_control(&self, variables: &str) {
        let each =
            |line: &dyn Fn(&Host) -> String| -> String { self.hosts.iter().map(line).collect() };
        let known = each(&|h| {
            let key = h.machine.read("/etc/ssh/ssh_host_ed25519_key.pub");
            format!("{} {key}", h.address)
        });
        self.write("known_hosts", &known);
        let hosts = each(&|h| format!("{} ansible_host={}\n", h.name, h.address));
        let package = packages(env!("CARGO_PKG_VERSION")).deb;
        let package = package.display();
        let inventory =
            format!("[web]\n{hosts}[web:vars]\nrsgen_package_file={package}\n{variables}");
        self.write("inventory", &inventory);
        self.write("ansible.cfg", &self.settings());
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/ansible");
        self.tool("ansible-galaxy", &["collection", "build", source])
            .ok();
        let built = concat!("rsgen-rsgen-", env!("CARGO_PKG_VERSION"), ".tar.gz");
        let arguments = ["collection", "install", "--offline", built, "-p", "."];
        self.tool("ansible-galaxy", &arguments).ok();
    }

    /// The settings of Ansible. Connections are shared only within this folder, because another fleet has the same addresses.
    fn settings(&self) -> String {
        let room = self.room.path().display();
        format!(
            "[defaults]\ninventory = inventory\ncollections_path = {room}\n\
             remote_user = root\nprivate_key_file = {room}/key\ninterpreter_python = /usr/bin/python3\n\
             nocows = true\ngathering = smart\n\
             [ssh_connection]\npipelining = true\ncontrol_path_dir = {room}/cp\n\
             ssh_args = -F none -o UserKnownHostsFile={room}/known_hosts -o ControlMaster=auto -o ControlPersist=5s\n"
        )
    }

    /// Writes a file on the controlling machine, below its folder.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.room.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// Runs `ansible-playbook …` on the controlling machine.
    pub(crate) fn play(&self, playbook: &str, arguments: &[&str]) -> Output {
        let all = [&[playbook], arguments].concat();
        self.tool("ansible-playbook", &all)
    }

    /// Runs one of the programs in the virtual environment that `make ansible` makes.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> Output {
        let bin = target_dir().join("ansible").join("bin");
        assert!(
            bin.join(program).exists(),
            "there is no `{program}`: run `make ansible`"
        );
        let start = Instant::now();
        let room = self.room.path();
        let ended = self.network.within(|| {
            Command::new("timeout")
                .args(["--kill-after=5", PLAY])
                .arg(bin.join(program))
                .args(arguments)
                .current_dir(room)
                .env("ANSIBLE_CONFIG", room.join("ansible.cfg"))
                .env("ANSIBLE_HOME", room.join(".ansible"))
                .env("LC_ALL", "C.UTF-8")
                .env("NO_COLOR", "1")
                .output()
                .expect("`timeout` starts")
        });
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Output {
            command: format!("{program} {}", arguments.join(" ")),
            status: ended.status.code().unwrap_or(-1),
            stdout: text(&ended.stdout),
            stderr: text(&ended.stderr),
            took: start.elapsed(),
        }
    }

    /// Starts traffic through the load balancer, from a client on the network.
    pub(crate) fn load(&self, clients: usize) -> Load {
        // Enough to notice a lost request, and little enough to leave the CPUs to the hosts.
        let traffic = Traffic::on_address(self.front, clients).pause(Duration::from_millis(10));
        Load::start_in(&self.network, &traffic)
    }

    /// Waits until the load balancer sends traffic to every host.
    pub(crate) fn wait_balanced(&self) {
        let wanted = self.hosts.len();
        wait_until(SOON, "the load balancer to find every host", || {
            let ask = "echo 'show stat' | python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); \
                       s.connect(\"/run/haproxy.sock\"); s.sendall(sys.stdin.buffer.read()); print(s.makefile().read())'";
            let stat = self.balancer.sh(ask).stdout;
            stat.lines()
                .filter(|l| l.starts_with("web,web") && l.contains(",UP,"))
                .count()
                == wanted
        });
    }
}

fn make_key(room: &Path) -> String {
    let key = room.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(
        made.is_ok_and(|s| s.success()),
        "`ssh-keygen` makes a key; it is in the package openssh-client"
    );
    fs::read_to_string(room.join("key.pub")).expect("a public key")
}

fn open_ssh(machine: &Machine, key: &str) {
    machine.write("/root/.ssh/authorized_keys", key);
    machine
        .sh("chmod -R go= /root/.ssh && ssh-keygen -q -A")
        .ok();
    machine.systemctl(&["start", "ssh"]).ok();
}

fn balance(balancer: &Machine, hosts: &[Host]) {
    let server = |h: &Host| format!("    server {} {}:{PORT}\n", h.name, h.address);
    let servers: String = hosts.iter().map(server).collect();
    let text = format!("{HAPROXY}{servers}");
    balancer.write("/etc/haproxy/haproxy.cfg", &text);
    balancer.systemctl(&["start", "haproxy"]).ok();
}
