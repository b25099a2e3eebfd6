//! Counts the results of requests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::http::{Failure, Loss};

/// The number of lost requests that a report lists one by one.
const TOLD: usize = 50;

/// The results of one client.
#[derive(Default)]
pub(super) struct Tally {
    latencies: Vec<Duration>,
    bodies: BTreeMap<String, u64>,
    losses: BTreeMap<Loss, u64>,
    told: Vec<Lost>,
    pub(super) reconnected: u64,
}

impl Tally {
    pub(super) fn answered(&mut self, body: String, took: Duration) {
        self.latencies.push(took);
        *self.bodies.entry(body).or_default() += 1;
    }

    pub(super) fn failed(&mut self, failure: Failure, asked: Duration, took: Duration) {
        *self.losses.entry(failure.loss).or_default() += 1;
        if self.told.len() < TOLD {
            let (loss, detail) = (failure.loss, failure.detail);
            self.told.push(Lost {
                at_ms: millis(asked),
                after_ms: millis(took),
                loss,
                detail,
            });
        }
    }
}

/// A lost request.
#[derive(Debug, Clone, Serialize)]
pub struct Lost {
    /// When the request was sent, in milliseconds since the traffic began.
    pub at_ms: f64,
    /// How long the request took until it was lost, in milliseconds.
    pub after_ms: f64,
    /// How the request was lost.
    pub loss: Loss,
    /// The error of the system.
    pub detail: String,
}

/// The results of all requests.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The number of requests that were sent.
    pub sent: u64,
    /// The number of requests with a correct answer.
    pub ok: u64,
    /// The number of lost requests.
    pub lost: u64,
    /// The number of lost requests of each kind.
    pub losses: BTreeMap<Loss, u64>,
    /// How often servers have closed a kept connection between two requests, which HTTP allows.
    pub reconnected: u64,
    /// The duration of the traffic in seconds.
    pub seconds: f64,
    /// The number of answers a second.
    pub rate: f64,
    /// The median time of an answer in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile of the times in milliseconds.
    pub p99_ms: f64,
    /// The time of the slowest answer in milliseconds.
    pub max_ms: f64,
    /// The number of answers with each body.
    pub bodies: BTreeMap<String, u64>,
    /// The first lost requests, one by one.
    pub first_lost: Vec<Lost>,
}

impl Report {
    pub(super) fn of(tallies: Vec<Tally>, took: Duration) -> Self {
        let mut all = Tally::default();
        for tally in tallies {
            all.latencies.extend(tally.latencies);
            all.told.extend(tally.told);
            all.reconnected += tally.reconnected;
            add(&mut all.bodies, tally.bodies);
            add(&mut all.losses, tally.losses);
        }
        all.latencies.sort_unstable();
        all.told.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        all.told.truncate(TOLD);
        let (ok, lost) = (all.latencies.len() as u64, all.losses.values().sum());
        Self {
            sent: ok + lost,
            ok,
            lost,
            losses: all.losses,
            reconnected: all.reconnected,
            seconds: took.as_secs_f64(),
            rate: ok as f64 / took.as_secs_f64(),
            p50_ms: percentile(&all.latencies, 50),
            p99_ms: percentile(&all.latencies, 99),
            max_ms: percentile(&all.latencies, 100),
            bodies: all.bodies,
            first_lost: all.told,
        }
    }

    /// Panics if a request was lost, or if there were none.
    #[track_caller]
    pub fn assert_nothing_lost(&self) -> &Self {
        assert!(self.ok > 0, "no request was answered: {self}");
        assert!(self.lost == 0, "requests were lost: {self}");
        self
    }

    /// The number of answers that contain `part`.
    pub fn with(&self, part: &str) -> u64 {
        self.bodies
            .iter()
            .filter(|(body, _)| body.contains(part))
            .map(|(_, n)| n)
            .sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The percentile of sorted values, by the nearest rank; 0 if there are no values.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .map_or(0.0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_rank() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let ranks = [1, 50, 99, 100].map(|p| percentile(&values, p));
        assert!(
            ranks
                .iter()
                .zip([2.0, 100.0, 198.0, 200.0])
                .all(|(a, b)| (a - b).abs() < 1e-9)
        );
        assert!(percentile(&[], 99).abs() < 1e-9);
    }

    #[test]
    fn counts_every_request_once() {
        let mut a = Tally::default();
        a.answered("0".to_owned(), Duration::from_millis(1));
        a.answered("1".to_owned(), Duration::from_millis(3));
        let mut b = Tally::default();
        let refused = Failure {
            loss: Loss::Refused,
            detail: "no".to_owned(),
        };
        b.failed(refused, Duration::from_millis(7), Duration::ZERO);
        let report = Report::of(vec![a, b], Duration::from_secs(2));
        assert_eq!((report.sent, report.ok, report.lost), (3, 2, 1));
        assert_eq!(report.losses, BTreeMap::from([(Loss::Refused, 1)]));
        assert_eq!((report.with("0"), report.bodies.len()), (1, 2));
        assert!((report.rate - 1.0).abs() < 1e-9);
    }
}
