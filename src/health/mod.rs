//! Asks one instance whether it serves, where each has a listener of its own. See docs/health.md.

pub mod http;
