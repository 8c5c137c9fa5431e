//! What a command wrote: its beginning, in bounded memory, and the hash of all of it.

use relay_core::outcome::MAX_BODY_BYTES;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::spec::Shape;
use crate::functions::body::cut;

/// What the JSON of `cmd.run_all` needs around the two outputs, in bytes: names, and two numbers of 11 characters.
const MAP_FRAME: usize = 96;

/// One output stream.
#[derive(Default)]
pub(super) struct Capture {
    kept: Vec<u8>,
    total: u64,
    hash: Sha256,
}

impl Capture {
    /// Takes what came next; keeps what still fits a body.
    pub fn take(&mut self, bytes: &[u8]) {
        let room = MAX_BODY_BYTES - self.kept.len();
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.hash.update(bytes);
        self.total += bytes.len() as u64;
    }

    fn was_dropped(&self) -> bool {
        self.total > self.kept.len() as u64
    }

    fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The text, without the white space at its end (as Salt), below a line that says what the output cannot.
    fn text(&self, headline: Option<&str>) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let text = text.trim_end();
        match headline {
            Some(line) if text.is_empty() => line.into(),
            Some(line) => format!("{line}\n{text}"),
            None => text.into(),
        }
    }
}

/// A return value made of what was captured.
pub(super) struct Returned {
    pub body: Value,
    /// SHA-256 of the output; of stdout's and stderr's hashes, where they are apart.
    pub output: [u8; 32],
    /// The body holds only the beginning.
    pub truncated: bool,
}

/// The return value of a command. `captures` are stdout with stderr in it, or stdout and stderr.
pub(super) fn returned(
    shape: Shape,
    captures: &[Capture],
    pid: u32,
    retcode: i32,
    headline: Option<&str>,
) -> Returned {
    match (shape, captures) {
        (Shape::Map, [out, err]) => map(out, err, pid, retcode, headline),
        (Shape::Stderr, [_, err]) => text(err, headline),
        (Shape::Retcode, [out, ..]) => {
            Returned { body: retcode.into(), output: out.digest(), truncated: false }
        }
        (_, [out, ..]) => text(out, headline),
        (_, []) => text(&Capture::default(), headline),
    }
}

fn text(out: &Capture, headline: Option<&str>) -> Returned {
    let text = out.text(headline);
    let kept = cut(&text, MAX_BODY_BYTES);
    Returned {
        truncated: out.was_dropped() || kept.len() < text.len(),
        output: out.digest(),
        body: kept.into(),
    }
}

fn map(out: &Capture, err: &Capture, pid: u32, retcode: i32, headline: Option<&str>) -> Returned {
    let (out_text, err_text) = (out.text(headline), err.text(None));
    let room = MAX_BODY_BYTES - MAP_FRAME;
    // Each may have half, and what the other leaves of its own.
    let out_kept = cut(&out_text, (room / 2).max(room.saturating_sub(json_len(&err_text))));
    let err_kept = cut(&err_text, room - json_len(out_kept));
    let was_cut = out_kept.len() < out_text.len() || err_kept.len() < err_text.len();
    Returned {
        truncated: was_cut || out.was_dropped() || err.was_dropped(),
        output: Sha256::new().chain_update(out.digest()).chain_update(err.digest()).finalize().into(),
        body: json!({"pid": pid, "retcode": retcode, "stdout": out_kept, "stderr": err_kept}),
    }
}

fn json_len(text: &str) -> usize {
    Value::from(text).to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn captured(bytes: &[u8]) -> Capture {
        let mut capture = Capture::default();
        bytes.chunks(1000).for_each(|chunk| capture.take(chunk));
        capture
    }

    #[test]
    fn a_short_output_is_whole_without_the_space_at_its_end() {
        let r = returned(Shape::Text, &[captured(b" a\n\xffb \n\n")], 1, 0, None);
        assert_eq!((r.body, r.truncated), (json!(" a\n\u{fffd}b"), false));
        let r = returned(Shape::Text, &[captured(b"a\n")], 1, 1, Some("sleep : Timed out after 1 seconds"));
        assert_eq!(r.body, json!("sleep : Timed out after 1 seconds\na"));
    }

    #[test]
    fn a_long_output_is_cut_in_bounded_memory_with_the_hash_of_all_of_it() {
        let bytes = vec![b'x'; 3 * MAX_BODY_BYTES];
        let capture = captured(&bytes);
        assert!(capture.kept.capacity() <= 2 * MAX_BODY_BYTES);
        let r = returned(Shape::Text, &[capture], 1, 0, None);
        assert_eq!((r.truncated, r.output), (true, Sha256::digest(&bytes).into()));
        assert_eq!(r.body.to_string().len(), MAX_BODY_BYTES);
    }

    #[test]
    fn an_output_that_json_makes_longer_is_cut_too() {
        let r = returned(Shape::Text, &[captured(&[1; MAX_BODY_BYTES / 2])], 1, 0, None);
        assert!(r.truncated && r.body.to_string().len() <= MAX_BODY_BYTES);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_map_fits_and_is_whole_if_it_can_be(out in 0usize..2 * MAX_BODY_BYTES, err in 0usize..2 * MAX_BODY_BYTES) {
            let captures = [captured(&vec![b'o'; out]), captured(&vec![b'e'; err])];
            let r = returned(Shape::Map, &captures, u32::MAX, i32::MIN, None);
            prop_assert!(r.body.to_string().len() <= MAX_BODY_BYTES);
            prop_assert_eq!(r.truncated, out + err > MAX_BODY_BYTES - MAP_FRAME - 4);
            let kept = r.body["stdout"].as_str().unwrap().len() + r.body["stderr"].as_str().unwrap().len();
            prop_assert!(!r.truncated || kept >= MAX_BODY_BYTES / 2 - MAP_FRAME);
        }
    }
}
