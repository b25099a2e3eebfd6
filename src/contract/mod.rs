//! The contract between the units and our programs: the command lines that units contain, the exit statuses that they
//! name, and the lines that a worker reports in a rehearsal.
//!
//! Each command line has one type, which renders it for a unit and reads it back. So `plan`, which writes a line,
//! cannot disagree with the worker, the drain and the commands of the cluster unit, which read it. Units are pinned:
//! they stay unchanged while the programs are upgraded. A line of an older version is therefore read as that version
//! meant it. A line that no version wrote is an error, because a silent default would hide that a flag was lost.
//!
//! This room is pure and small, because the worker runs before every program: it uses no files, no bus and no clap.

mod amount;
mod balance;
mod bytes;
pub mod canaries;
pub mod count;
mod drain;
mod env_files;
mod flags;
mod health;
mod job;
mod line;
mod pause;
mod recycle;
mod release;
pub mod report;
mod run;
mod scale;
mod status;
pub mod steer;
mod step;
#[cfg(test)]
mod tests;
pub mod time;
mod watch;
mod words;

pub use amount::Amount;
pub use balance::{Act, Balance};
pub use bytes::Bytes;
pub use drain::{Drain, Request};
pub use env_files::EnvFiles;
pub use flags::Usage;
pub use health::{Ask, Health, UNHEALTHY};
pub use job::Job;
pub use line::{Line, Text, Value};
pub use pause::{Pause, Resume};
pub use recycle::Recycle;
pub use release::{Release, StartedWith};
pub use run::{Policy, Rehearsal, Run};
pub use scale::{Compared, Scale};
pub use status::{
    BACKGROUND, BINDS, ELSEWHERE, ERRORED, FURTHER, NEVER_LISTENED, NOT_STARTED, REFUSED,
    SENT_ONLY, Statuses, UNSENT, final_statuses, is_final, is_of_a_silent_start,
};
pub use step::{Brake, Braked, Ended, Rehearsed, Reload, Start, Step, Stop};
pub use watch::Watch;
pub use words::{Course, Cpus, Handover, Instances, OnFailure, Ready, Way, Word};
pub(crate) use words::{no_word, words};
