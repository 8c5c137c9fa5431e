//! How messages print that hold secrets: without them.

use std::fmt;

use crate::access::{LoginReply, LoginRequest};

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoginRequest { user: _, password: _, backend } = self;
        // Not the name either: people type their password there.
        f.debug_struct("LoginRequest").field("backend", backend).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoginReply { token: _, expires, idle_ms } = self;
        f.debug_struct("LoginReply")
            .field("expires", expires)
            .field("idle_ms", idle_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let request = LoginRequest { user: "hush".into(), password: "hush".into(), backend: "file".into() };
        let reply = LoginReply { token: "hush".into(), expires: 1, idle_ms: 2 };
        let text = format!("{request:?} {reply:?}");
        assert!(text.contains("file") && !text.contains("hush"), "{text}");
    }
}
