//! Frames: what one gRPC message of a link holds.
//!
//! A message under [`MAX_FRAME`] is a frame. A larger one travels as fragments of its encoding, which control frames
//! may overtake. tonic's buffers grow to the largest frame ever sent and never shrink (docs/adr/0002), so the limit is
//! also what an idle link costs.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, encoding};
use relay_core::{ids::Incarnation, merkle::Proof};
use relay_proto::{convert, link};

/// Largest frame, in bytes.
pub const MAX_FRAME: usize = 16 << 10;
/// What a fragment's own encoding adds to its data, at most.
const FRAGMENT_OVERHEAD: usize = 32;
/// Protobuf number of `Down.incarnation`.
const INCARNATION: u32 = 16;
/// Protobuf number of `Down.proof`.
const PROOF: u32 = 17;
/// What is added for one minion to the message that it shares with others, in bytes at most: its incarnation, and its proof in the
/// largest tree.
pub const MAX_TAIL: usize = 1 << 10;

/// One gRPC message. The body may be shared with other links; the tail is this link's own.
#[derive(Debug, Clone)]
pub struct Frame {
    pub(super) body: Bytes,
    pub(super) tail: Bytes,
}

impl Frame {
    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.body.len() + self.tail.len()
    }

    /// Whether there is nothing in it (an encoding of nothing is nothing).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn put(&self, dst: &mut impl BufMut) {
        dst.put_slice(&self.body);
        dst.put_slice(&self.tail);
    }
}

/// What only one minion's message has: fields outside of the one that all share.
fn tail(incarnation: Incarnation, proof: Option<&Proof>) -> Bytes {
    let mut tail = BytesMut::with_capacity(MAX_TAIL / 2);
    encoding::fixed64::encode(INCARNATION, &incarnation.0, &mut tail);
    if let Some(proof) = proof {
        encoding::message::encode(PROOF, &convert::proof_out(proof), &mut tail);
    }
    tail.freeze()
}

/// A message encoded once, for any number of links.
#[derive(Debug, Clone)]
pub struct Encoded {
    frames: Vec<Bytes>,
    whole: bool,
}

impl Encoded {
    /// Encodes a message, in fragments if it is large.
    pub fn new(message: &impl Message) -> Encoded {
        let mut bytes = Bytes::from(message.encode_to_vec());
        if bytes.len() <= MAX_FRAME {
            return Encoded { frames: vec![bytes], whole: true };
        }
        let mut frames = Vec::with_capacity(bytes.len() / (MAX_FRAME - FRAGMENT_OVERHEAD) + 1);
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(MAX_FRAME - FRAGMENT_OVERHEAD));
            frames.push(fragment(data, bytes.is_empty()));
        }
        Encoded { frames, whole: false }
    }

    /// The frames for one link.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        self.frames.iter().map(|body| Frame { body: body.clone(), tail: Bytes::new() })
    }

    /// The frames for one minion: its incarnation and its proof are added as the last bytes of the message.
    pub fn frames_for(&self, incarnation: Incarnation, proof: Option<&Proof>) -> Vec<Frame> {
        let tail = tail(incarnation, proof);
        if self.whole {
            return vec![Frame { body: self.frames[0].clone(), tail }];
        }
        // The message's own last fragment is marked as such, so it is written anew, followed by the tail.
        let mut frames: Vec<Frame> = self.frames().collect();
        if let Some(last) = frames.pop().and_then(|f| unfragment(&f.body)) {
            let mut data = BytesMut::from(&last[..]);
            data.put_slice(&tail);
            frames.push(Frame { body: fragment(data.freeze(), true), tail: Bytes::new() });
        }
        frames
    }

    /// Bytes on the wire, without tails.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }
}

fn fragment(data: Bytes, last: bool) -> Bytes {
    let fragment = link::Fragment { data, last };
    link::Down { message: Some(link::down::Message::Fragment(fragment)), incarnation: 0, proof: None }
        .encode_to_vec()
        .into()
}

fn unfragment(frame: &Bytes) -> Option<Bytes> {
    match link::Down::decode(frame.clone()).ok()?.message? {
        link::down::Message::Fragment(fragment) => Some(fragment.data),
        _ => None,
    }
}

/// Why incoming frames were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over the limit of this kind of link.
    #[error("a message of more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A whole message came before the last fragment of another that is not of the control lane.
    #[error("not decodable: {0}")]
    Decode(String),
}

/// Puts fragments together. One message at a time: the bulk lane keeps its order.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: BytesMut,
}

impl Assembler {
    /// Takes a fragment; gives the whole message's bytes once the last is in.
    pub fn add(&mut self, fragment: link::Fragment, limit: usize) -> Result<Option<Bytes>, FrameError> {
        if self.partial.len() + fragment.data.len() > limit {
            self.partial = BytesMut::new();
            return Err(FrameError::TooLarge { limit });
        }
        self.partial.extend_from_slice(&fragment.data);
        // A fresh buffer afterwards, so that a large message leaves nothing behind.
        Ok(fragment.last.then(|| std::mem::take(&mut self.partial).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assemble(frames: impl IntoIterator<Item = Frame>) -> link::Down {
        let mut assembler = Assembler::default();
        for frame in frames {
            assert!(frame.len() <= MAX_FRAME + MAX_TAIL);
            let mut bytes = BytesMut::new();
            frame.put(&mut bytes);
            let down = link::Down::decode(bytes.freeze()).unwrap();
            let Some(link::down::Message::Fragment(fragment)) = down.message else { return down };
            if let Some(whole) = assembler.add(fragment, 1 << 20).unwrap() {
                return link::Down::decode(whole).unwrap();
            }
        }
        panic!("not complete")
    }

    fn dispatch(size: usize) -> link::Down {
        let dispatch = link::Dispatch { envelope: vec![7; size].into(), ..Default::default() };
        link::Down { message: Some(link::down::Message::Dispatch(dispatch)), incarnation: 0, proof: None }
    }

    proptest! {
        #[test]
        fn any_size_arrives_whole_with_what_is_its_own(size in 0usize..100_000, incarnation: u64, hashes in 0usize..25) {
            let down = dispatch(size);
            let encoded = Encoded::new(&down);
            prop_assert_eq!(&assemble(encoded.frames()), &down);
            let named = assemble(encoded.frames_for(Incarnation(incarnation), None));
            prop_assert_eq!(&named, &link::Down { incarnation, ..down.clone() });
            let proof = Proof { size: 1 << 24, places: vec![1 << 23], hashes: vec![[7; 32]; hashes] };
            prop_assert!(tail(Incarnation(incarnation), Some(&proof)).len() <= MAX_TAIL);
            let proven = assemble(encoded.frames_for(Incarnation(incarnation), Some(&proof)));
            prop_assert_eq!(proven, link::Down { proof: Some(convert::proof_out(&proof)), ..named });
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_and_dropped() {
        let mut assembler = Assembler::default();
        let piece = link::Fragment { data: vec![0; 60].into(), last: false };
        assert_eq!(assembler.add(piece.clone(), 100), Ok(None));
        assert_eq!(assembler.add(piece, 100), Err(FrameError::TooLarge { limit: 100 }));
        assert!(assembler.partial.is_empty());
    }
}
