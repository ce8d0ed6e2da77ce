//! Any bytes as cache records: `cargo +nightly fuzz run records -- -max_len=1048576`. Property tests of
//! `src/cache/records` put the same function through a bounded number of inputs at every run of the tests.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchparty_cache::cache::records::probe(bytes));
