//! The program itself, with an environment of its own and nothing else.

pub(crate) mod confined;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::client::{Answer, Client};
use super::upstream::Upstream;
use super::{KEY, PATIENCE};

/// How the program is started.
pub(crate) struct Setup {
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    dotenv: Option<String>,
    file: Option<String>,
    inherited: Option<OwnedFd>,
}

impl Setup {
    /// Without one argument or variable.
    pub(crate) fn empty() -> Setup {
        Setup {
            arguments: Vec::new(),
            variables: Vec::new(),
            dotenv: None,
            file: None,
            inherited: None,
        }
    }

    /// With this configuration file.
    pub(crate) fn file(file: Value) -> Setup {
        let setup = Setup::listening().variable("CCPROXY_CONFIG", "ccproxy.json");
        Setup { file: Some(file.to_string()), ..setup }
    }

    fn listening() -> Setup {
        Setup::empty()
            .variable("SERVER_HOST", "127.0.0.1")
            .variable("SERVER_PORT", "0")
            .variable("LOG_FORMAT", "text")
    }

    /// The provider inside the program answers.
    pub(crate) fn echo() -> Setup {
        Setup::listening().variable("PROVIDER", "echo")
    }

    /// The provider `custom` at `base_url` answers.
    pub(crate) fn at(base_url: &str) -> Setup {
        Setup::listening()
            .variable("PROVIDER", "custom")
            .variable("CUSTOM_BASE_URL", base_url)
            .variable("CUSTOM_MODEL", "test-model")
            .variable("CUSTOM_API_KEY", KEY)
    }

    /// The provider of the row `name` answers with `model`, and it is `upstream`.
    pub(crate) fn of(name: &str, model: &str, upstream: &Upstream) -> Setup {
        let upper = name.to_ascii_uppercase();
        Setup::listening()
            .variable("PROVIDER", name)
            .variable(&format!("{upper}_API_KEY"), "k")
            .variable(&format!("{upper}_BASE_URL"), &upstream.base_url())
            .variable(&format!("{upper}_MODEL"), model)
    }

    /// `upstream` answers.
    pub(crate) fn asking(upstream: &Upstream) -> Setup {
        Setup::at(&upstream.base_url())
    }

    /// Writes its log as JSON, each line an object.
    pub(crate) fn json_log(self) -> Setup {
        self.variable("LOG_FORMAT", "json")
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Setup {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Setup {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Passes this descriptor on, as a service manager does.
    pub(crate) fn inheriting(self, descriptor: impl Into<OwnedFd>) -> Setup {
        let setup = self.variable("LISTEN_FDS", "1").variable("LISTEN_FDNAMES", "test.socket");
        Setup { inherited: Some(descriptor.into()), ..setup }
    }

    /// Puts a `.env` where the program is started.
    pub(crate) fn dotenv(mut self, text: &str) -> Setup {
        self.dotenv = Some(text.to_owned());
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Proxy {
        let process = self.spawn();
        let line = process.wait_for_line("listening on http://");
        let (_, address) = line.split_once("http://").expect("the line has it");
        // In JSON more follows. The name stands for two loopbacks.
        let end = address.find(['"', ' ']).unwrap_or(address.len());
        let address = address[..end].replace("localhost", "127.0.0.1");
        let address = address.parse().expect("it is bound to an IP address");
        Proxy { process, address }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Finished {
        let mut process = self.spawn();
        let code = process.exit();
        Finished { code, stdout: process.stdout.text(), stderr: process.stderr.text() }
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(self) -> Process {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("serve-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).expect("cargo's directory can be written to");
        if let Some(text) = &self.dotenv {
            fs::write(directory.join(".env"), text).expect("cargo's directory can be written to");
        }
        if let Some(text) = &self.file {
            let path = directory.join("ccproxy.json");
            fs::write(path, text).expect("cargo's directory can be written to");
        }
        let mut command = Command::new(program());
        command.stdin(Stdio::null());
        if let Some(descriptor) = self.inherited {
            // Its number is 3, and the process is told that it is meant.
            const PASS_ON: &str = "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
            command = Command::new("/bin/sh");
            command.args(["-c", PASS_ON]).arg(program()).stdin(descriptor);
        }
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables)
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo has built the program");
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        Process { child, directory, stdout, stderr }
    }
}

/// The program: what cargo has built, unless another build is to be tried.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CCPROXY_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_ccproxy").into(), PathBuf::from)
}

/// What a run to its end leaves.
#[derive(Debug)]
pub(crate) struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running server.
pub(crate) struct Proxy {
    process: Process,
    pub address: SocketAddr,
}

impl Deref for Proxy {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Proxy {
    /// Waits for its end and returns the exit code, which a signal leaves none of.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        self.process.exit()
    }

    /// Asks for health until `condition` holds for the answer.
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut(&Answer) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut client = Client::connect(self);
        while !condition(&client.ask("GET", "/health", &[], b"")) {
            assert!(Instant::now() < deadline, "{what} takes too long");
        }
    }

    /// What is at `path`, for a caller without a key.
    pub(crate) fn get(&self, path: &str) -> Answer {
        Client::fetch(self, "GET", path, &[], b"")
    }

    /// What `/status` tells.
    pub(crate) fn status(&self) -> Value {
        self.get("/status").json()
    }

    /// The value of a sample of `/metrics`, if it is there; `sample` is its name and its labels.
    pub(crate) fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }
}

/// The program; it ends with the test.
pub(crate) struct Process {
    child: Child,
    directory: PathBuf,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Process {
    /// Waits for a line of the log with `part` in it, from the start of the program on.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.stderr.wait(|lines| lines.iter().any(|line| line.contains(part)));
        let found = self.stderr.lock().lines.iter().find(|line| line.contains(part)).cloned();
        found.unwrap_or_else(|| panic!("{part:?} is in the log:\n{}", self.log()))
    }

    /// Waits until so many lines of the log hold `part`.
    pub(crate) fn wait_for_lines(&self, part: &str, count: usize) {
        self.stderr.wait(|lines| lines.iter().filter(|l| l.contains(part)).count() >= count);
    }

    /// Waits for the line of the JSON log that tells of the request `id`.
    pub(crate) fn record(&self, id: &str) -> Value {
        let line = self.wait_for_line(&format!("\"request_id\":\"{id}\",\"status\""));
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).expect("a process id is positive");
        // SAFETY: a plain system call; the child has not been waited for, so the id is its.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    pub(crate) fn threads(&self) -> usize {
        self.entries("task")
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    /// The memory that is really there (`VmRSS`).
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it is running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("Linux tells it")
    }

    fn entries(&self, of: &str) -> usize {
        let directory = format!("/proc/{}/{of}", self.child.id());
        fs::read_dir(directory).expect("it is running").count()
    }

    /// Waits for its end and returns the exit code, which a signal leaves none of.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        // The pipe ends with the program.
        self.stdout.wait(|_| false);
        self.stderr.wait(|_| false);
        assert!(self.stderr.lock().ended, "the program ends; its log:\n{}", self.log());
        self.child.wait().expect("it is a child").code()
    }

    /// Its exit code, once it has ended.
    pub(crate) fn exit_if_ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("it is a child")?.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
        if thread::panicking() {
            eprintln!("the program's log:\n{}", self.log());
        }
    }
}

/// The lines of a pipe, read as they come: a full pipe would stop the program.
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines { state: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                shared.lock().lines.push(line);
                shared.changed.notify_all();
            }
            shared.lock().ended = true;
            shared.changed.notify_all();
        });
        lines
    }

    /// Waits until the lines are as wanted or no more will come.
    fn wait(&self, wanted: impl Fn(&[String]) -> bool) {
        let until = |state: &mut State| !state.ended && !wanted(&state.lines);
        drop(self.changed.wait_timeout_while(self.lock(), PATIENCE, until));
    }

    fn text(&self) -> String {
        self.lock().lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}
