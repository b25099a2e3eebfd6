//! The worker, started as by systemd, but without systemd: it gets sockets as descriptors, and `NOTIFY_SOCKET` is a socket of
//! the test. The programs are unmodified. Needs root, Node, Python and a C compiler.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a stage that cannot be set fails its test, and tells what was said on it"
)]

#[path = "worker/instance.rs"]
mod instance;
#[path = "worker/stage.rs"]
mod stage;

#[path = "worker/attacks.rs"]
mod attacks;
#[path = "worker/binding.rs"]
mod binding;
#[path = "worker/files.rs"]
mod files;
#[path = "worker/health.rs"]
mod health;
#[path = "worker/kinds.rs"]
mod kinds;
#[path = "worker/life.rs"]
mod life;
#[path = "worker/programs.rs"]
mod programs;
#[path = "worker/readiness.rs"]
mod readiness;
#[path = "worker/rehearsal.rs"]
mod rehearsal;
