//! Calls whose bytes are the attacker's own: any path, any body.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use relay_runtime::link::Channel;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Longest wait for a call's end. A call that goes on (a watch) is left then.
const CALL_TIME: Duration = Duration::from_secs(5);
/// Most messages that are taken of one stream.
const MESSAGES: usize = 64;

/// Bytes out, bytes in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, bytes: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls a method (`/package.Service/Method`) with one message, and takes what comes: the messages.
///
/// # Errors
/// What the server says; `DEADLINE_EXCEEDED` if it says nothing in time.
pub async fn call(channel: &Channel, path: &str, body: impl Into<Bytes>) -> Result<Vec<Bytes>, Status> {
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(64 << 20);
    let path = path.parse().map_err(|_| Status::invalid_argument("no path"))?;
    let request = Request::new(body.into());
    let calling = async {
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut answers = grpc.server_streaming(request, path, Raw).await?.into_inner();
        let mut taken = Vec::new();
        while taken.len() < MESSAGES
            && let Ok(answer) = tokio::time::timeout(CALL_TIME / 10, answers.message()).await
        {
            let Some(answer) = answer? else { break };
            taken.push(answer);
        }
        Ok(taken)
    };
    let late = Status::deadline_exceeded("no answer");
    tokio::time::timeout(CALL_TIME, calling).await.unwrap_or(Err(late))
}
