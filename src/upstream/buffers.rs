//! The buffers of an upstream's connection, which hold memory while it is used: a thousand answers
//! that trickle take a few kilobytes each.

use ureq::config::Config;
use ureq::unversioned::transport::Buffers;

use super::wait::with_call;

/// What an answer is read into at first, and for as long as less than that comes at once: a block
/// of the allocator's, less what that writes beside it.
const FIRST_BYTES: usize = (2 << 10) - 4;

/// Memory for an answer, which grows, and for a request, which is there while it is sent.
#[derive(Debug)]
pub(super) struct GrowingBuffers {
    /// The most of either.
    limit: usize,
    output_limit: usize,
    input: Vec<u8>,
    /// What of `input` is not used yet. Invariant: `consumed <= filled <= input.len()`.
    consumed: usize,
    filled: usize,
    /// The last use of the input got on.
    progress: bool,
    output: Vec<u8>,
}

impl GrowingBuffers {
    /// Buffers of up to as many bytes as `config` says: the head of an answer must fit, and each
    /// line of a request's.
    pub(super) fn new(config: &Config) -> GrowingBuffers {
        GrowingBuffers {
            limit: config.input_buffer_size(),
            output_limit: config.output_buffer_size(),
            input: Vec::new(),
            consumed: 0,
            filled: 0,
            progress: false,
            output: Vec::new(),
        }
    }

    /// Makes room for all of the request, or a good piece of it.
    fn fill_output(&mut self) {
        let bytes = with_call(|call| call.request_bytes).unwrap_or(self.output_limit);
        self.output.resize(bytes.min(self.output_limit), 0);
    }

    /// The request has been sent.
    pub(super) fn forget_output(&mut self) {
        self.output = Vec::new();
    }

    /// Makes room for more input: as much as there was, while it comes faster than it is read.
    fn make_room(&mut self) {
        if self.consumed == self.filled {
            let was_full = self.filled == self.input.len();
            (self.consumed, self.filled) = (0, 0);
            if was_full {
                self.grow();
            }
        } else if self.filled == self.input.len() {
            if self.consumed > 0 {
                self.input.copy_within(self.consumed..self.filled, 0);
                (self.consumed, self.filled) = (0, self.filled - self.consumed);
            } else {
                self.grow();
            }
        }
    }

    fn grow(&mut self) {
        let length = (self.input.len() * 2).clamp(FIRST_BYTES, self.limit.max(FIRST_BYTES));
        self.input.resize(length, 0);
    }
}

impl Buffers for GrowingBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.fill_output();
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.fill_output();
        self.make_room();
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && self.consumed < self.filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 << 10;
    const OUTPUT_LIMIT: usize = 64 << 10;

    fn buffers() -> GrowingBuffers {
        let config = ureq::Agent::config_builder();
        let config = config.input_buffer_size(LIMIT).output_buffer_size(OUTPUT_LIMIT).build();
        GrowingBuffers::new(&config)
    }

    /// Reads `bytes` as a socket would give them, and uses `used` of what there is.
    fn read(buffers: &mut GrowingBuffers, bytes: usize, used: usize) {
        let room = buffers.input_append_buf();
        assert!(room.len() >= bytes, "{} < {bytes}", room.len());
        room[..bytes].fill(7);
        buffers.input_appended(bytes);
        buffers.input_consume(used);
    }

    #[test]
    fn an_answer_that_trickles_takes_the_least_and_one_that_pours_the_most() {
        let mut buffers = buffers();
        for _ in 0..1000 {
            read(&mut buffers, 200, 200);
        }
        assert_eq!(buffers.input.len(), FIRST_BYTES);
        for _ in 0..10 {
            let room = buffers.input_append_buf().len();
            read(&mut buffers, room, room);
        }
        assert_eq!(buffers.input.len(), LIMIT);
    }

    #[test]
    fn a_head_as_large_as_the_limit_fits_and_no_larger_one() {
        let mut buffers = buffers();
        while buffers.input().len() < LIMIT {
            let room = buffers.input_append_buf().len();
            read(&mut buffers, room, 0);
            assert!(!buffers.can_use_input());
        }
        assert_eq!(buffers.input().len(), LIMIT);
        assert!(buffers.input_append_buf().is_empty());
        buffers.input_consume(LIMIT - 1);
        assert!(buffers.can_use_input());
        // What is left moves to the beginning.
        assert_eq!(buffers.input_append_buf().len(), LIMIT - 1);
        assert_eq!(buffers.input(), [7]);
    }

    #[test]
    fn the_request_takes_nothing_once_it_is_sent() {
        let mut buffers = buffers();
        assert_eq!(buffers.output().len(), OUTPUT_LIMIT);
        buffers.forget_output();
        assert_eq!(buffers.output.capacity(), 0);
        let (tmp, output) = buffers.tmp_and_output();
        assert!(!tmp.is_empty() && output.len() == OUTPUT_LIMIT);
    }
}
