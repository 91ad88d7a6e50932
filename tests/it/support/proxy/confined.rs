//! The program where the system gives it little, and what it holds of what it is given.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::{Lines, PATIENCE, Process, Proxy, Setup, State, program};

/// What the system allows. `None` is what the test itself may do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Confines {
    /// `RLIMIT_NOFILE`.
    pub descriptors: Option<u64>,
    /// `RLIMIT_NPROC`, which counts the threads of a user and does not bind root.
    pub threads: Option<u64>,
    /// `RLIMIT_AS`, in bytes.
    pub memory: Option<u64>,
    /// The user to run as, which only root can choose.
    pub user: Option<u32>,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub threads: usize,
    pub descriptors: usize,
}

impl Footprint {
    /// Whether this is no more than `base`, give or take the few that a probe needs.
    pub(crate) fn is_near(self, base: Footprint) -> bool {
        const NEAR: usize = 10;
        self.threads <= base.threads + NEAR && self.descriptors <= base.descriptors + NEAR
    }
}

impl Proxy {
    pub(crate) fn footprint(&self) -> Footprint {
        Footprint { threads: self.threads(), descriptors: self.descriptors() }
    }

    /// The inodes of its sockets, as the system's tables name them.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.process.child.id()));
        let links =
            entries.expect("it runs").filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let inode = |link: PathBuf| {
            let link = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
            Some(link)
        };
        links.filter_map(inode).collect()
    }

    /// Puts a pipe that nobody writes to where the configuration file was.
    pub(crate) fn replace_file_by_pipe(&self) {
        let path = self.process.directory.join("ccproxy.json");
        fs::remove_file(&path).expect("the test has put it there");
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
        // SAFETY: the call takes a string that ends.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }

    /// Replaces the `.env` that the program reads when it is told to.
    pub(crate) fn write_dotenv(&self, text: &str) {
        fs::write(self.process.directory.join(".env"), text).expect("the directory is the test's");
    }

    /// Takes the `.env` away.
    pub(crate) fn remove_dotenv(&self) {
        fs::remove_file(self.process.directory.join(".env")).expect("the test has put one there");
    }
}

impl Setup {
    /// Starts it within `confines` and waits until it listens.
    pub(crate) fn start_confined(self, confines: Confines) -> Proxy {
        let (mut child, directory) = self.spawn_confined(confines);
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        let process = Process { child, directory, stdout, stderr };
        let address = listening(&process.wait_for_line(LISTENING));
        Proxy { process, address }
    }

    /// Starts it and reads its log up to the line that tells where it listens; what comes then stays
    /// in the pipe for as long as that is kept.
    pub(crate) fn start_with_unread_log(self) -> (Proxy, ChildStderr) {
        let (mut child, directory) = self.spawn_confined(Confines::default());
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let mut pipe = child.stderr.take().expect("it is piped");
        let mut lines = Vec::new();
        let line = loop {
            let line = read_line(&mut pipe);
            lines.push(line.clone());
            if line.contains(LISTENING) {
                break line;
            }
        };
        let state = State { lines, ended: false };
        let stderr = Arc::new(Lines { state: Mutex::new(state), changed: Condvar::new() });
        let process = Process { child, directory, stdout, stderr };
        let address = listening(&line);
        (Proxy { process, address }, pipe)
    }

    fn spawn_confined(self, confines: Confines) -> (Child, PathBuf) {
        let directory = world_readable_directory();
        if let Some(text) = &self.dotenv {
            fs::write(directory.join(".env"), text).expect("the directory is new");
        }
        let built = program();
        let program = match confines.user {
            // Another user may not reach cargo's directory.
            Some(_) => {
                let copy = directory.join("ccproxy");
                fs::copy(&built, &copy).expect("the directory is new");
                copy
            }
            None => built,
        };
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec it makes plain system calls and nothing else.
        unsafe { command.pre_exec(move || confines.enter()) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match command.spawn() {
                Ok(child) => return (child, directory),
                // Another test's child has the copy open until it execs.
                Err(e)
                    if e.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {}
                Err(e) => panic!("cargo has built the program: {e}"),
            }
        }
    }
}

impl Confines {
    /// Confines this process.
    fn enter(self) -> io::Result<()> {
        let check = |result: i32| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        let limit = |n| libc::rlimit { rlim_cur: n, rlim_max: n };
        // SAFETY: every call takes valid values, and pointers to them that outlive it.
        unsafe {
            if let Some(descriptors) = self.descriptors {
                check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit(descriptors)))?;
            }
            if let Some(threads) = self.threads {
                check(libc::setrlimit(libc::RLIMIT_NPROC, &limit(threads)))?;
            }
            if let Some(memory) = self.memory {
                check(libc::setrlimit(libc::RLIMIT_AS, &limit(memory)))?;
            }
            if let Some(user) = self.user {
                check(libc::setgroups(0, std::ptr::null()))?;
                check(libc::setgid(user))?;
                check(libc::setuid(user))?;
            }
        }
        Ok(())
    }
}

/// Lets the test itself, and what it starts, have as many descriptors as the system allows.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls take a valid rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let enough = 6000;
    assert!(limit.rlim_max >= enough, "`ulimit -Hn` must be {enough}, not {}", limit.rlim_max);
}

pub(crate) fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

const LISTENING: &str = "listening on http://";

fn listening(line: &str) -> std::net::SocketAddr {
    let (_, address) = line.split_once(LISTENING).expect("the line has it");
    address.parse().expect("it is bound to an IP address")
}

fn read_line(pipe: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        pipe.read_exact(&mut byte).unwrap_or_else(|e| {
            panic!("a line is complete ({e}): {:?}", String::from_utf8_lossy(&line))
        });
        if byte == *b"\n" {
            return String::from_utf8(line).expect("the log is UTF-8");
        }
        line.extend(byte);
    }
}

fn world_readable_directory() -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("ccproxy-test-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).expect("there is a place for temporary files");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("it is the test's");
    directory
}
