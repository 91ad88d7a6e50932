//! The head of an answer that is longer than its connection's buffer, as some gateways make them
//! with their cookies and policies.
//!
//! ureq reads a head from one piece of memory, and the buffer of a connection is there for as long
//! as the connection is. So a long head moves here, and goes when it has been read. ureq itself
//! refuses one of more than 64 KiB.

use ureq::unversioned::transport::Buffers;

/// What has come of the answer and has not been used, in the place of the connection's buffer.
#[derive(Debug, Default)]
pub(super) struct LongHead {
    input: Vec<u8>,
    /// Invariant: `used <= input.len()`.
    used: usize,
    /// The last use got on.
    progress: bool,
}

impl LongHead {
    /// Whether it takes the place of `buffers`, which are full with a piece that nobody can use.
    pub(super) fn is_needed(buffers: &mut dyn Buffers) -> bool {
        !buffers.input().is_empty() && buffers.input_append_buf().is_empty()
    }

    /// Takes over what is in `buffers`.
    pub(super) fn take(&mut self, buffers: &mut dyn Buffers) {
        self.input.extend_from_slice(buffers.input());
        buffers.input_consume(buffers.input().len());
    }

    /// All of it has been used: the connection's buffer goes on.
    pub(super) fn is_used_up(&self) -> bool {
        self.used == self.input.len()
    }
}

/// Only the input: the request has been sent by then.
impl Buffers for LongHead {
    fn output(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input(&self) -> &[u8] {
        &self.input[self.used..]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.used += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], &mut [])
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.is_used_up()
    }
}
