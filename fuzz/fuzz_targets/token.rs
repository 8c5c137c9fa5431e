//! libFuzzer's way into [`fuzz::token::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::token::token(data));
