//! Arbitrary bytes as a manifest file and as manifest records.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| alluvium::fuzzing::manifest(data));
