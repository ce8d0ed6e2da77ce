//! The program: wires the process to [`watchparty_cache`].

fn main() {}
