//! The brake on crash loops.
