//! Developer verbs; `cargo xtask help` lists them.

fn main() {}
