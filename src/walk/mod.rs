//! The rolling reload.
