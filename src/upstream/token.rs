//! A key that ends: an access token, which a file holds or a program prints.
//!
//! The file is read for every message: whoever writes it anew need not tell. The program is run
//! when there is no token yet, and when the provider has refused the last one.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{Token, TokenSource, read_setting};
use crate::error::{Cause, Error};
use crate::os::{poll, poll_fd};
use crate::translate::first_words;

/// How long the program may take, and what it may print.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_BYTES: usize = 64 << 10;

/// How long a failure of the program is remembered: all who wait for it would run it in turn.
const FAILURE_HOLDS: Duration = Duration::from_secs(5);

/// How often it is looked whether a program has ended that has closed its output.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The token of one provider.
#[derive(Debug)]
pub(super) struct Tokens {
    token: Token,
    provider: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    token: String,
    /// How many there have been: which one a message was sent with.
    count: u64,
    failed: Option<(Instant, String)>,
}

/// A token, and which one it is.
pub(super) type Counted = (String, u64);

impl Tokens {
    pub(super) fn new(token: Token, provider: &str) -> Tokens {
        Tokens { token, provider: provider.to_owned(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token for a message.
    ///
    /// # Errors
    /// Why there is none, which somebody has to mend.
    pub(super) fn current(&self) -> Result<Counted, Error> {
        let mut known = self.known();
        let has_one = known.count > 0 && matches!(self.token.from, TokenSource::Command(_));
        if !has_one {
            self.ask(&mut known)?;
        }
        Ok((known.token.clone(), known.count))
    }

    /// Whether there is another token than that one, which was refused.
    pub(super) fn is_another(&self, refused: u64) -> bool {
        let mut known = self.known();
        if known.count == refused {
            let _ = self.ask(&mut known);
        }
        known.count > refused
    }

    /// Asks the file or the program.
    fn ask(&self, known: &mut Known) -> Result<(), Error> {
        if let Some((at, reason)) = &known.failed
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(self.failure(reason));
        }
        let is_file = matches!(self.token.from, TokenSource::File(_));
        let asked = match &self.token.from {
            TokenSource::File(path) => read_setting(path),
            TokenSource::Command(words) => run(words),
        };
        // A key goes into a header: nothing else may follow it there.
        let is_key = |text: &String| text.bytes().all(|b| b.is_ascii_graphic());
        let asked = asked.and_then(|token| match is_key(&token) {
            true => Ok(token),
            false => Err("what it gives is no key: a key is visible ASCII without blanks".into()),
        });
        known.failed = None;
        match asked {
            Ok(token) if token != known.token => {
                *known = Known { token, count: known.count + 1, failed: None };
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(reason) => {
                let error = self.failure(&reason);
                known.failed = (!is_file).then(|| (Instant::now(), reason));
                Err(error)
            }
        }
    }

    fn failure(&self, reason: &str) -> Error {
        Error::Unreachable {
            cause: Cause::KeyRefused,
            reason: format!(
                "there is no token for {}: {}: {reason}",
                self.provider, self.token.name
            ),
            is_lasting: true,
        }
    }
}

/// What a program prints.
///
/// # Errors
/// How it failed. Its own words are cut, and without keys.
fn run(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("it names no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program:?} cannot be run: {e}"))?;
    let deadline = Instant::now() + PATIENCE;
    let printed = collect(&mut child, deadline);
    let ended = wait(&mut child, deadline);
    let [out, told] = printed.map_err(|e| format!("{program:?} cannot be read: {e}"))?;
    match ended {
        None => Err(format!("{program:?} has not ended within {} s", PATIENCE.as_secs())),
        Some(status) if !status.success() => {
            let told = first_words(&told);
            Err(format!("{program:?} failed ({status}): {told:?}"))
        }
        Some(_) if out.len() > LONGEST_BYTES => {
            Err(format!("{program:?} prints more than {LONGEST_BYTES} bytes"))
        }
        Some(_) => match String::from_utf8_lossy(&out).trim() {
            "" => Err(format!("{program:?} prints nothing")),
            token => Ok(token.to_owned()),
        },
    }
}

/// The beginning of what it prints, and of what it says of errors, until both are closed.
fn collect(child: &mut Child, deadline: Instant) -> std::io::Result<[Vec<u8>; 2]> {
    let mut printed = [Vec::new(), Vec::new()];
    let (mut out, mut told) = (child.stdout.take(), child.stderr.take());
    while (out.is_some() || told.is_some()) && Instant::now() < deadline {
        let mut fds = Vec::with_capacity(2);
        fds.extend(out.as_ref().map(|pipe| poll_fd(pipe.as_raw_fd(), libc::POLLIN)));
        fds.extend(told.as_ref().map(|pipe| poll_fd(pipe.as_raw_fd(), libc::POLLIN)));
        poll(&mut fds, Some(deadline))?;
        let mut is_ready = fds.iter().map(|fd| fd.revents != 0);
        if out.is_some() && is_ready.next() == Some(true) && !take(&mut out, &mut printed[0])? {
            out = None;
        }
        if told.is_some() && is_ready.next() == Some(true) && !take(&mut told, &mut printed[1])? {
            told = None;
        }
        if printed.iter().any(|text| text.len() > LONGEST_BYTES) {
            break;
        }
    }
    Ok(printed)
}

/// Reads some of a pipe; whether there may be more.
fn take(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    let Some(pipe) = pipe else { return Ok(false) };
    let n = pipe.read(&mut buffer)?;
    into.extend_from_slice(&buffer[..n]);
    Ok(n > 0)
}

/// How it ended, or `None` where it had to be ended.
fn wait(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(from: TokenSource) -> Tokens {
        Tokens::new(Token { from, name: "VERTEX_TOKEN".to_owned() }, "vertex")
    }

    fn command(words: &[&str]) -> Tokens {
        tokens(TokenSource::Command(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    #[test]
    fn a_program_is_run_once_and_again_when_its_token_is_refused() {
        let tokens = command(&["date", "+%N-token"]);
        let first = tokens.current().expect("it prints one");
        assert_eq!(tokens.current().expect("it is known"), first);
        assert!(tokens.is_another(first.1));
        let second = tokens.current().expect("it is known");
        assert!(second.0 != first.0 && second.1 == first.1 + 1);
        // Who was refused with the first one meanwhile need not run it again.
        assert!(tokens.is_another(first.1));
        assert_eq!(tokens.current().expect("it is known"), second);
    }

    #[test]
    fn the_same_token_again_is_no_other() {
        let tokens = command(&["echo", "token"]);
        let (token, count) = tokens.current().expect("it prints one");
        assert_eq!(token, "token");
        assert!(!tokens.is_another(count));
    }

    #[test]
    fn what_fails_is_told_with_the_setting_and_without_keys() {
        for (words, wanted) in [
            (&["no-such-program-here"][..], "\"no-such-program-here\" cannot be run"),
            (&["false"], "\"false\" failed (exit status: 1)"),
            (&["true"], "\"true\" prints nothing"),
            (&["echo", "two", "words"], "a key is visible ASCII without blanks"),
            (&["cat", "/nowhere/sk-ant-api03-0123456789abcdef0123456789"], "\"cat\" failed"),
        ] {
            let error = command(words).current().expect_err("there is no token").to_string();
            assert!(error.contains(wanted), "{error}");
            assert!(error.starts_with("there is no token for vertex: VERTEX_TOKEN: "), "{error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("ccproxy-token-{}", std::process::id()));
        std::fs::write(&path, "first\n").expect("it can be written");
        let tokens = tokens(TokenSource::File(path.to_string_lossy().into_owned()));
        assert_eq!(tokens.current().expect("it is there"), ("first".to_owned(), 1));
        assert!(!tokens.is_another(1));
        std::fs::write(&path, "second\n").expect("it can be written");
        assert_eq!(tokens.current().expect("it is there"), ("second".to_owned(), 2));
        std::fs::remove_file(&path).expect("it can be removed");
        let gone = tokens.current().expect_err("it is gone").to_string();
        assert!(gone.contains("cannot be read"), "{gone}");
    }
}
