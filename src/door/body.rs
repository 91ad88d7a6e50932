//! A request's body, collected as it comes, without IO: within its limit, within what all bodies
//! may hold together, and at a pace that a client with a message to send keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chunks::Chunks;
use super::head::BodyLength;
use crate::error::Error;
use crate::memory::{self, Budget, Share};

/// What a body may take at least, and how fast it must come on the whole.
const PATIENCE: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: usize = 64 << 10;

/// Room is made for so many times what has come, if so much is announced and there is plenty of
/// memory: what is outgrown is of no use until the next message comes.
const AHEAD: usize = 16;

/// A body that is coming.
#[derive(Debug)]
pub(super) struct Body {
    form: Form,
    limit: usize,
    bytes: Vec<u8>,
    share: Share,
    began: Instant,
    /// Bytes that have come, with their framing.
    received: usize,
}

#[derive(Debug)]
enum Form {
    Sized(usize),
    Chunked(Chunks),
}

impl Body {
    /// Begins a body of the length `length`, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is announced as larger.
    pub(super) fn new(
        length: BodyLength,
        limit: usize,
        budget: &Arc<Budget>,
        now: Instant,
    ) -> Result<Body, Error> {
        let form = match length {
            BodyLength::None => Form::Sized(0),
            BodyLength::Bytes(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= limit);
                Form::Sized(length.ok_or_else(|| too_large(limit))?)
            }
            BodyLength::Chunked => Form::Chunked(Chunks::default()),
        };
        let (share, bytes) = (budget.share(), Vec::new());
        Ok(Body { form, limit, bytes, share, began: now, received: 0 })
    }

    /// Takes what belongs to the body off `input`. Returns how many bytes that were.
    ///
    /// # Errors
    /// The client has to be told, and what it still sends is not read.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, Error> {
        let Body { form, bytes, share, limit, .. } = self;
        let taken = match form {
            Form::Sized(length) => {
                let n = input.len().min(*length - bytes.len());
                let needed = bytes.len() + n;
                let ahead = (AHEAD * needed).min(*length);
                let room = if needed > bytes.capacity() && share.grow_in_plenty(ahead) {
                    ahead
                } else {
                    doubled(bytes, *length)
                };
                append(bytes, &input[..n], share, *length, room)?;
                n
            }
            Form::Chunked(chunks) => {
                let mut failure = None;
                let n = chunks.read(input, |data| {
                    if bytes.len() + data.len() > *limit {
                        failure = Some(too_large(*limit));
                    } else if failure.is_none() {
                        let room = doubled(bytes, *limit);
                        failure = append(bytes, data, share, *limit, room).err();
                    }
                });
                if let Some(error) = failure {
                    return Err(error);
                }
                n.map_err(|_| {
                    Error::request("", "the body is not in chunks as Transfer-Encoding says")
                })?
            }
        };
        self.received += taken;
        Ok(taken)
    }

    /// Takes what belongs to the body off `input`, if nothing can be wrong with it: it need not be
    /// copied twice then. Returns how many bytes that were.
    pub(super) fn take_at_once(&mut self, input: &[u8]) -> usize {
        match self.form {
            Form::Sized(_) => self.take(input).unwrap_or_default(),
            Form::Chunked(_) => 0,
        }
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        match &self.form {
            Form::Sized(length) => self.bytes.len() == *length,
            Form::Chunked(chunks) => chunks.is_ended(),
        }
    }

    /// When it must be whole, unless more comes until then.
    pub(super) fn deadline(&self) -> Instant {
        self.began + PATIENCE + Duration::from_secs((self.received / MIN_BYTES_PER_SECOND) as u64)
    }

    /// The bytes, and the memory for them and for what every message takes.
    ///
    /// # Errors
    /// There is not so much left.
    pub(super) fn into_parts(self) -> Result<(Vec<u8>, Share), Error> {
        if !self.bytes.is_empty() {
            let cost = self.bytes.capacity() + memory::IN_FLIGHT;
            self.share.grow_to(cost, cost)?;
        }
        Ok((self.bytes, self.share))
    }
}

/// Room for twice the body, but for no more than `most`, so that a long one is not copied often.
fn doubled(bytes: &Vec<u8>, most: usize) -> usize {
    (2 * bytes.capacity()).min(most)
}

/// Appends to a body that will not be longer than `most`. Where there is no room for it, some is
/// made for so many bytes at least.
fn append(
    bytes: &mut Vec<u8>,
    data: &[u8],
    share: &Share,
    most: usize,
    room: usize,
) -> Result<(), Error> {
    let needed = bytes.len() + data.len();
    share.grow_to(needed, most)?;
    if needed > bytes.capacity() {
        let wanted = needed.max(room);
        bytes.try_reserve_exact(wanted - bytes.len()).map_err(|_| memory::none_left())?;
    }
    bytes.extend_from_slice(data);
    Ok(())
}

fn too_large(limit: usize) -> Error {
    let reason = format!(
        "the body is larger than {limit} bytes, the most that CCPROXY_BODY_LIMIT and the memory of \
         this server allow"
    );
    Error::Refused { status: 413, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_head_announces_takes_no_memory() {
        let budget = Arc::new(Budget::new(100_000));
        let now = Instant::now();
        let begin = || Body::new(BodyLength::Bytes(90_000), 90_000, &budget, now).unwrap();
        let mut bodies: Vec<Body> = (0..50).map(|_| begin()).collect();
        assert_eq!(budget.left(), 100_000);
        assert_eq!(bodies[0].take(&[b'x'; 80_000]), Ok(80_000));
        assert_eq!(budget.left(), 10_000);
        // The budget has room for what comes, not for what others announce.
        assert_eq!(bodies[1].take(&[b'x'; 20_000]).unwrap_err().status(), 529);
        assert_eq!(bodies[0].take(&[b'x'; 20_000]), Ok(10_000));
        assert!(bodies[0].is_whole());
        drop(bodies);
        assert_eq!(budget.left(), 100_000);
    }

    #[test]
    fn a_body_has_room_ahead_where_there_is_plenty() {
        let budget = Arc::new(Budget::new(1_000_000));
        let now = Instant::now();
        let begin = || Body::new(BodyLength::Bytes(400_000), 900_000, &budget, now).unwrap();
        let mut bodies: Vec<Body> = (0..9).map(|_| begin()).collect();
        for body in &mut bodies {
            body.take(&[b'x'; 20_000]).unwrap();
        }
        // What is announced takes no more than half of it.
        let rooms: Vec<usize> = bodies.iter().map(|body| body.bytes.capacity()).collect();
        assert_eq!(rooms[0], AHEAD * 20_000);
        assert_eq!(rooms[1..], [20_000; 8]);
        drop(bodies);
        assert_eq!(budget.left(), 1_000_000);
    }

    #[test]
    fn what_is_whole_takes_what_it_costs_to_answer() {
        let budget = Arc::new(Budget::new(memory::IN_FLIGHT + 20_000));
        let now = Instant::now();
        let whole = |length: usize| {
            let length = BodyLength::Bytes(length as u64);
            let mut body = Body::new(length, 30_000, &budget, now).unwrap();
            body.take(&[b'x'; 30_000]).unwrap();
            body.into_parts()
        };
        let (bytes, share) = whole(13_000).unwrap();
        assert_eq!((bytes.len(), budget.left()), (13_000, 7000));
        // There is room for it when the first is answered, and never for what is longer.
        assert_eq!(whole(100).unwrap_err().status(), 529);
        drop(share);
        assert_eq!(whole(25_000).unwrap_err().status(), 413);
        assert_eq!(budget.left(), memory::IN_FLIGHT + 20_000);
    }

    #[test]
    fn a_body_in_chunks_is_bounded_by_its_limit_and_the_budget() {
        let budget = Arc::new(Budget::new(1 << 20));
        let body = |limit| Body::new(BodyLength::Chunked, limit, &budget, Instant::now()).unwrap();
        let mut small = body(3);
        assert_eq!(small.take(b"3\r\nabc\r\n0\r\n\r\nnext"), Ok(13));
        assert!(small.is_whole());
        assert_eq!(body(2).take(b"3\r\nabc\r\n").unwrap_err().status(), 413);
        let chunk = [b"200000\r\n", &[b'x'; 1 << 20][..]].concat();
        let mut large = body(1 << 30);
        large.take(&chunk).unwrap_err();
        drop((small, large));
        assert_eq!(budget.left(), 1 << 20);
    }

    #[test]
    fn a_deadline_moves_with_what_comes() {
        let budget = Arc::new(Budget::new(1 << 20));
        let now = Instant::now();
        let mut body = Body::new(BodyLength::Bytes(1 << 20), 1 << 20, &budget, now).unwrap();
        assert_eq!(body.deadline(), now + PATIENCE);
        body.take(&[0; 640 << 10]).unwrap();
        assert_eq!(body.deadline(), now + PATIENCE + Duration::from_secs(10));
    }
}
