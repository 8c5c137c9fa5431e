//! The gRPC codec of links: frames go out as they were encoded, and come in as bytes.
//!
//! Small buffers: a link is idle most of its life, and tonic keeps one buffer each way per stream.

use bytes::{Buf, Bytes};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::frame::Frame;

/// What tonic allocates per direction of an idle link, in bytes. A small job with its proof fits, which has some 750 bytes for one of
/// 5,000 minions; a smaller buffer would have grown with the first one and never shrunk.
const BUFFER: usize = 1_024;
/// tonic hands the buffer to HTTP/2 at this size.
const YIELD: usize = 16 << 10;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = Bytes;
    type Encoder = FrameCodec;
    type Decoder = FrameCodec;
    fn encoder(&mut self) -> FrameCodec {
        FrameCodec
    }
    fn decoder(&mut self) -> FrameCodec {
        FrameCodec
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;
    fn encode(&mut self, frame: Frame, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.reserve(frame.len());
        frame.put(dst);
        Ok(())
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        // Copied out, so that what is kept of a message does not hold tonic's buffer, and that buffer is used again.
        Ok(Some(Bytes::copy_from_slice(src.copy_to_bytes(src.remaining()).as_ref())))
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}
