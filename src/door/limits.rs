//! How much the door takes on: computed from what the process may use, so that neither descriptors
//! nor threads nor memory run out where health would need them.

use std::fs;

use crate::memory;
use crate::os::{self, Limit};

/// Descriptors that are in use besides connections: listeners, stdio, log, the private connections
/// and tiny_http's duplicates of them, name lookups.
const RESERVED_DESCRIPTORS: usize = 28;
/// What a message in flight uses besides its client's connection: the upstream's socket, and one
/// for a name that is being looked up; with the embedded provider, its end of the connection.
const DESCRIPTORS_IN_FLIGHT: usize = 2;
/// Threads besides workers: main, signals, door, watchdog, log, tidy, those that tiny_http keeps,
/// and workers that are about to be free.
const RESERVED_THREADS: usize = 20;
/// Memory of a connection that waits, most of it the system's.
const BYTES_WAITING: usize = 8 << 10;
/// The least room that connections without a message get: probes come by these.
const MIN_IDLE_CONNECTIONS: usize = 8;
/// The most connections, where that leaves this much room beside the messages.
const MAX_CONNECTIONS: usize = 8192;
const MIN_ROOM: usize = 512;
const MAX_IN_FLIGHT: usize = 1024;
/// The most memory that messages may take, where there is more.
const MAX_MEMORY: u64 = 4 << 30;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Limits {
    pub max_connections: usize,
    pub max_in_flight: usize,
    /// Bytes that messages may hold together.
    pub memory_budget: usize,
    /// The largest body of a request: as large as was wished, or as there is memory for.
    pub body_limit: usize,
    /// What the control group grants, or what is less, for `/status`.
    pub memory_limit: Option<u64>,
}

/// What the process may use.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Resources {
    pub descriptors: usize,
    pub threads: usize,
    pub memory_bytes: u64,
    /// The limit that binds, if one was found.
    pub memory_limit: Option<u64>,
}

impl Limits {
    /// Computes the limits; `max_in_flight` is the user's wish, which descriptors and threads bound
    /// (memory does not: who sets it knows better). An embedded provider has a thread for each
    /// message.
    pub fn new(
        resources: &Resources,
        max_in_flight: Option<usize>,
        body_limit: usize,
        embeds: bool,
    ) -> Limits {
        let threads_in_flight = 1 + usize::from(embeds);
        let descriptors = resources.descriptors.saturating_sub(RESERVED_DESCRIPTORS);
        let threads = resources.threads.saturating_sub(RESERVED_THREADS);
        let by_descriptors =
            descriptors.saturating_sub(MIN_IDLE_CONNECTIONS) / (DESCRIPTORS_IN_FLIGHT + 1);
        let by_threads = threads / threads_in_flight;
        let memory = usable(resources.memory_bytes, usize::MAX as u64) as usize;
        let by_memory = memory / 2 / memory::IN_FLIGHT;
        let wish = max_in_flight.unwrap_or(MAX_IN_FLIGHT.min(by_memory));
        let max_in_flight = wish.min(by_descriptors).min(by_threads).max(1);
        let connections = descriptors
            .saturating_sub(max_in_flight * DESCRIPTORS_IN_FLIGHT)
            .min(memory / 4 / BYTES_WAITING);
        // A provider in the same process holds each message once more.
        let memory_budget = for_messages(memory as u64) as usize / threads_in_flight;
        Limits {
            max_connections: connections
                .min(MAX_CONNECTIONS.max(max_in_flight + MIN_ROOM))
                .max(max_in_flight + 1),
            max_in_flight,
            memory_budget,
            body_limit: body_limit.min(memory::longest(memory_budget)),
            memory_limit: resources.memory_limit,
        }
    }
}

impl Resources {
    /// Reads rlimits and control groups. The soft limit of descriptors is raised to the hard one
    /// (65,536 at most): the usual 1,024 is for programs that use select(2).
    pub fn of_this_process() -> Resources {
        let Limit { soft, hard } = os::limit(libc::RLIMIT_NOFILE);
        let wanted = hard.min(65_536).max(soft.min(65_536));
        let raised = os::set_limit(libc::RLIMIT_NOFILE, Limit { soft: wanted, hard });
        let descriptors = if raised { wanted } else { os::limit(libc::RLIMIT_NOFILE).soft };
        let by_user = os::limit(libc::RLIMIT_NPROC).soft;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let read = |path: &str| fs::read_to_string(path).ok();
        let by_group = least(&groups, &PROCESSES, read).unwrap_or(u64::MAX);
        let total = total_memory();
        // The first version of control groups writes no limit as a number beyond all memory.
        let memory_limit = by_rlimits()
            .into_iter()
            .chain(least(&groups, &MEMORY, read))
            .min()
            .filter(|limit| *limit < total);
        Resources {
            descriptors: usize::try_from(descriptors).unwrap_or(usize::MAX),
            threads: usize::try_from(by_user.min(by_group)).unwrap_or(usize::MAX),
            memory_bytes: memory_limit.unwrap_or(total),
            memory_limit,
        }
    }
}

/// How much of the memory can be used with addresses up to `greatest`: on a machine of 32 bits the
/// system takes up to half of them, and what is left has gaps.
fn usable(bytes: u64, greatest: u64) -> u64 {
    bytes.min(greatest / 4)
}

/// How much of it messages may take.
fn for_messages(bytes: u64) -> u64 {
    (bytes / 4 * 3).min(MAX_MEMORY)
}

/// What the process may still use by its own limits (`ulimit -v`, `ulimit -d`). These count what is
/// reserved, used or not: all of the threads' stacks, and the gaps between what is held.
fn by_rlimits() -> Option<u64> {
    /// For the threads that serve nobody in particular, and what they allocate.
    const OWN_BYTES: u64 = 14 << 20;
    let limit = os::limit(libc::RLIMIT_AS).soft.min(os::limit(libc::RLIMIT_DATA).soft);
    // In pages, which are of 4 KiB at least.
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').next().unwrap_or_default().parse().unwrap_or(2048);
    let own = pages * 4096 + OWN_BYTES;
    (limit < u64::MAX).then(|| limit.saturating_sub(own) / 4 * 3)
}

/// A controller of control groups, and the files in which each version keeps its limit.
struct Controller {
    name: &'static str,
    files: [&'static str; 2],
}

const MEMORY: Controller =
    Controller { name: "memory", files: ["memory.limit_in_bytes", "memory.max"] };
const PROCESSES: Controller = Controller { name: "pids", files: ["pids.max", "pids.max"] };

/// The least of the limits of this process's control group and of all above it, as far as they are
/// seen from here. `groups` is `/proc/self/cgroup`.
///
/// A container is often shown its own group as the root, under which the path is not found that
/// `groups` has: then the root alone tells.
fn least(
    groups: &str,
    controller: &Controller,
    read: impl Fn(&str) -> Option<String>,
) -> Option<u64> {
    let Controller { name, files: [first, second] } = controller;
    let path_of = |is_ours: &dyn Fn(&str) -> bool| {
        let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| is_ours(controllers)).map_or("/", |(_, path)| path)
    };
    let of_first = path_of(&|controllers| controllers.split(',').any(|c| c == *name));
    let of_second = path_of(&str::is_empty);
    let read = &read;
    let of_first = (format!("/sys/fs/cgroup/{name}"), of_first, first);
    let of_second = ("/sys/fs/cgroup".to_owned(), of_second, second);
    [of_first, of_second]
        .iter()
        .flat_map(|(root, path, file)| {
            // From the group itself up to the root, which is the empty path.
            let ups = std::iter::successors(Some(path.trim_end_matches('/')), |path| {
                path.rsplit_once('/').map(|(above, _)| above)
            });
            ups.filter_map(move |path| number_in(&read(&format!("{root}{path}/{file}"))?))
        })
        .min()
}

/// The number in a file; `max` is none.
fn number_in(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn total_memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map_or(1 << 30, |kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        /// The groups as /proc tells them, what files there are, and what follows.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<u64>);
        let v1 = "9:pids:/a/b\n4:cpu,memory:/a/b\n1:name=systemd:/a/b\n0::/x\n";
        let cases: &[Case] = &[
            // Of the second version, in a machine and in a container with a root of its own.
            ("0::/a/b\n", &[("/a/b/memory.max", "300"), ("/a/memory.max", "100\n")], Some(100)),
            ("0::/a/b\n", &[("/a/b/memory.max", "max"), ("/a/memory.max", "200")], Some(200)),
            ("0::/a/b\n", &[("/a/b/memory.max", "100"), ("/a/memory.max", "max")], Some(100)),
            ("0::/\n", &[("/memory.max", "100\n")], Some(100)),
            ("0::/../else\n", &[("/memory.max", "100")], Some(100)),
            ("0::/a/b\n", &[("/a/b/memory.max", "max")], None),
            // Of the first.
            (v1, &[("/memory/a/b/memory.limit_in_bytes", "300")], Some(300)),
            (
                v1,
                &[
                    ("/memory/a/b/memory.limit_in_bytes", "300"),
                    ("/memory/a/memory.limit_in_bytes", "200"),
                    ("/memory/memory.limit_in_bytes", "9223372036854771712"),
                ],
                Some(200),
            ),
            (v1, &[("/memory/memory.limit_in_bytes", "100")], Some(100)),
            // Of both at once, and where /proc tells nothing.
            (
                v1,
                &[("/x/memory.max", "100"), ("/memory/a/memory.limit_in_bytes", "200")],
                Some(100),
            ),
            ("", &[("/memory.max", "100")], Some(100)),
            ("", &[("/memory/memory.limit_in_bytes", "100")], Some(100)),
            ("no group", &[], None),
        ];
        for (groups, files, limit) in cases {
            let read = |path: &str| {
                let path = path.strip_prefix("/sys/fs/cgroup").expect("it is where groups are");
                let (_, text) = files.iter().find(|(name, _)| *name == path)?;
                Some((*text).to_owned())
            };
            assert_eq!(least(groups, &MEMORY, read), *limit, "{groups:?} {files:?}");
        }
    }

    #[test]
    fn more_memory_than_can_be_addressed_is_no_reason_to_take_none() {
        let (small, large) = (u64::from(u32::MAX), u64::MAX);
        for (bytes, greatest, wanted) in [
            (24 << 30, small, 768 << 20),
            (512 << 20, small, 384 << 20),
            (512 << 20, large, 384 << 20),
            (24 << 30, large, 4 << 30),
        ] {
            let messages = for_messages(usable(bytes, greatest));
            assert!(messages.abs_diff(wanted) < 4, "{bytes} of {greatest}: {messages}");
        }
    }

    #[test]
    fn never_more_than_there_is() {
        for descriptors in [64, 65, 256, 1024, 65_536] {
            for threads in [30, 64, 512, 100_000] {
                for memory_bytes in [16 << 20, 1 << 30, 1 << 36] {
                    for (wish, embeds) in
                        [(None, false), (None, true), (Some(512), false), (Some(100_000), true)]
                    {
                        let resources =
                            Resources { descriptors, threads, memory_bytes, memory_limit: None };
                        let limits = Limits::new(&resources, wish, 32 << 20, embeds);
                        let used =
                            limits.max_connections + limits.max_in_flight * DESCRIPTORS_IN_FLIGHT;
                        assert!(
                            used + RESERVED_DESCRIPTORS <= descriptors,
                            "{resources:?} {limits:?}"
                        );
                        let used = limits.max_in_flight * (1 + usize::from(embeds));
                        assert!(used + RESERVED_THREADS <= threads, "{resources:?} {limits:?}");
                        assert!(limits.max_connections > limits.max_in_flight, "{resources:?}");
                    }
                }
            }
        }
    }
}
