//! libFuzzer's way into [`fuzz::target::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::target::target(data));
