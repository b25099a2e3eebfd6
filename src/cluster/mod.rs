//! The commands of the cluster unit.
