//! libFuzzer's way into [`fuzz::certificate::certificate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::certificate::certificate(data));
