//! The metrics as Prometheus itself reads them, and the shipped dashboard's queries as it answers them.

#![expect(clippy::expect_used, reason = "a spec without an answer has failed")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SOON, install};

/// Two samples are enough for a rate over a minute. A scrape starts a process, so there are few.
const CONFIG: &str = "global: {scrape_interval: 2s}\n\
                      scrape_configs: [{job_name: rsgen, static_configs: [{targets: ['127.0.0.1:9967']}]}]\n";
const QUERY: &str = "http://127.0.0.1:9090/api/v1/query";

/// A Prometheus of the host in the machine's network, which ends with this value.
struct Prometheus<'a> {
    machine: &'a Machine,
    server: Child,
    _folder: TempDir,
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl<'a> Prometheus<'a> {
    fn start(machine: &'a Machine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, CONFIG).expect("the configuration");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut command = Command::new("prometheus");
        command
            .arg(option("config.file", &config))
            .arg(option("storage.tsdb.path", &folder.path().join("data")))
            .args(["--web.listen-address=127.0.0.1:9090", "--log.level=error"])
            .stdin(Stdio::null());
        let server = machine.in_network(|| command.spawn()).expect("prometheus");
        Self {
            machine,
            server,
            _folder: folder,
        }
    }

    /// The values of the series that a query returns; none as long as Prometheus does not answer.
    fn ask(&self, query: &str) -> Vec<f64> {
        let query = format!("query={query}");
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "30", "--data-urlencode", &query, QUERY]);
        let said = self.machine.in_network(|| command.output()).expect("curl");
        let Ok(answer) = serde_json::from_slice::<Value>(&said.stdout) else {
            return Vec::new();
        };
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().expect("series");
        let values = series
            .iter()
            .map(|one| one["value"][1].as_str().expect("a value"));
        values
            .map(|value| value.parse().expect("a number"))
            .collect()
    }

    /// Waits until a query returns values that are as they should be. A scrape that took too long leaves a gap.
    fn wait(&self, query: &str, are_right: impl Fn(&[f64]) -> bool) {
        wait_until(SOON, query, || are_right(&self.ask(query)));
    }
}

/// The queries of the shipped dashboard, with the values that Grafana puts in.
fn queries() -> Vec<String> {
    let text = include_str!("../../packaging/grafana/rsgen.json");
    let dashboard: Value = serde_json::from_str(text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("queries"));
    let filled = targets.map(|target| {
        let query = target["expr"]
            .as_str()
            .expect("a query")
            .replace("$app", ".*");
        query.replace("$__rate_interval", "1m")
    });
    filled.collect()
}

pub(crate) fn answers_every_query_of_the_dashboard(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    install(machine, "graceful", "2", "balance = \"even\"");
    // As the packages do.
    machine.run(&["systemd-sysusers"]).ok();
    machine
        .systemctl(&["enable", "--now", "rsgen-metrics.socket"])
        .ok();
    let traffic = Traffic::on_port(3000, 4).keep_alive();
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(20)));
    load.wait_answered(8);
    let prometheus = Prometheus::start(machine);
    prometheus.wait("up", |up| up == [1.0]);
    for query in queries() {
        let is_of_instances = query.contains("rsgen_instance_") && !query.starts_with("sum by");
        let series = if is_of_instances { 2 } else { 1 };
        prometheus.wait(&query, |values| values.len() == series);
    }
    let serving = "sum by (app) (rsgen_app_instances_serving)";
    prometheus.wait(serving, |serving| serving == [2.0]);
    let shares = queries();
    let shares = shares.iter().find(|query| query.contains("group_left"));
    let shares = shares.expect("the query of the shares");
    prometheus.wait(shares, |shares| {
        (shares.iter().sum::<f64>() - 1.0).abs() < 0.01
    });
    load.stop().assert_nothing_lost();
    machine
        .run(&["rsgen", "metrics", "-o", "/tmp/rsgen.prom"])
        .ok();
    assert_eq!(lint(&machine.read("/tmp/rsgen.prom")), "");
}

/// What promtool finds wrong in a file for the textfile collector.
fn lint(text: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let promtool = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool");
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("its input");
    drop(input);
    let said = promtool.wait_with_output().expect("its output");
    [said.stdout, said.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}
