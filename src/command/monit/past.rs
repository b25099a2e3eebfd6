//! What instances used in the last minutes, as sparklines.

use std::collections::{BTreeMap, VecDeque};

use super::super::status::AppStatus;

/// How many looks are kept: more than a terminal has columns.
const KEPT: usize = 512;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values of one look, where they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Look {
    /// Processor time, as per cent of one CPU.
    pub(super) cpu: Option<f64>,
    /// Memory in bytes.
    pub(super) memory: Option<f64>,
    /// Connections that wait to be accepted.
    pub(super) waiting: Option<f64>,
}

/// An app, or one of its instances.
pub(super) type Of = (String, Option<u32>);

/// The latest looks at apps and instances.
#[derive(Debug, Default)]
pub(super) struct Past {
    looks: BTreeMap<Of, VecDeque<Look>>,
}

impl Past {
    /// Adds a look; what is gone is forgotten.
    pub(super) fn add(&mut self, apps: &[AppStatus]) {
        let now: BTreeMap<Of, Look> = apps.iter().flat_map(looks).collect();
        self.looks.retain(|of, _| now.contains_key(of));
        for (of, look) in now {
            let looks = self.looks.entry(of).or_default();
            looks.push_back(look);
            let surplus = looks.len().saturating_sub(KEPT);
            looks.drain(..surplus);
        }
    }

    /// The latest looks, at most this many, the last one at the end.
    pub(super) fn last(&self, of: &Of, count: usize) -> Vec<Look> {
        let looks = self.looks.get(of).into_iter().flatten();
        let mut looks: Vec<Look> = looks.rev().take(count).copied().collect();
        looks.reverse();
        looks
    }
}

fn looks(app: &AppStatus) -> Vec<(Of, Look)> {
    let (cpu, memory) = app.used();
    let whole = Look {
        cpu,
        memory: memory.map(approximate),
        waiting: app.waiting.map(f64::from),
    };
    let below = app.below().iter().map(|instance| {
        let look = Look {
            cpu: instance.cpu_percent,
            memory: instance.memory_bytes.map(approximate),
            // All instances may share one queue.
            waiting: instance.waiting.or(app.waiting).map(f64::from),
        };
        ((app.name.clone(), Some(instance.number)), look)
    });
    std::iter::once(((app.name.clone(), None), whole))
        .chain(below)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a bar has eight heights")]
fn approximate(value: u64) -> f64 {
    value as f64
}

/// A bar for each value; the highest has this value, or the largest of them if that is more. What is not known is blank.
pub(super) fn bars(values: &[Option<f64>], least: f64) -> String {
    let largest = values.iter().flatten().copied().fold(least, f64::max);
    let bar = |value: &Option<f64>| match value {
        Some(value) => {
            // Nothing of nothing is no number, which becomes 0 below.
            let height = (value / largest * 8.0).ceil() - 1.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 7"
            )]
            let height = height.clamp(0.0, 7.0) as usize;
            BARS.get(height).copied().unwrap_or(' ')
        }
        None => ' ',
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_share_of_the_largest() {
        let values = [0.0, 1.0, 4.0, 8.0].map(Some);
        assert_eq!(bars(&values, 0.0), "▁▁▄█");
        assert_eq!(bars(&values, 16.0), "▁▁▂▄", "little looks like little");
        assert_eq!(bars(&[None, Some(0.0)], 0.0), " ▁");
        assert_eq!(bars(&[], 1.0), "");
    }
}
