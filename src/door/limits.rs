//! How much the door takes on: computed from what the process may use, so that neither descriptors
//! nor threads nor memory run out where health would need them.

use std::fs;

/// Descriptors that are in use besides connections: listeners, stdio, log, the private connections and
/// tiny_http's duplicates of them, name lookups.
const RESERVED_DESCRIPTORS: usize = 28;
/// What a message in flight uses besides its client's connection: the upstream's socket, and one for a name
/// that is being looked up; with the embedded provider, its end of the connection.
const DESCRIPTORS_IN_FLIGHT: usize = 2;
/// Threads besides workers: main, signals, door, watchdog, log, tidy, those that tiny_http keeps, and workers that
/// are about to be free.
const RESERVED_THREADS: usize = 20;
/// Memory of a message in flight: stack, buffers, TLS, and the system's buffers of both sockets when they
/// are full.
const BYTES_IN_FLIGHT: u64 = 240 << 10;
/// Memory of a connection that waits, most of it the system's.
const BYTES_WAITING: usize = 8 << 10;
/// The least room that connections without a message get: probes come by these.
const MIN_IDLE_CONNECTIONS: usize = 8;
/// The most connections, where that leaves this much room beside the messages.
const MAX_CONNECTIONS: usize = 8192;
const MIN_ROOM: usize = 512;
const MAX_IN_FLIGHT: usize = 1024;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_connections: usize,
    pub max_in_flight: usize,
    /// Bytes of request bodies held at once.
    pub body_budget: usize,
    /// What the control group grants, for `/status`.
    pub memory_limit: Option<u64>,
}

/// What the process may use.
#[derive(Debug, Clone, Copy)]
pub struct Resources {
    pub descriptors: usize,
    pub threads: usize,
    pub memory_bytes: u64,
    /// The limit of the control group, if one was found.
    pub memory_limit: Option<u64>,
}

impl Limits {
    /// Computes the limits; `max_in_flight` is the user's wish, which descriptors and threads bound
    /// (memory does not: who sets it knows better). An embedded provider has a thread for each message.
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
        let by_memory = usize::try_from(resources.memory_bytes / 2 / BYTES_IN_FLIGHT);
        let wish = max_in_flight.unwrap_or(MAX_IN_FLIGHT.min(by_memory.unwrap_or(usize::MAX)));
        let max_in_flight = wish.min(by_descriptors).min(by_threads).max(1);
        let quarter = usize::try_from(resources.memory_bytes / 4).unwrap_or(usize::MAX);
        let connections = descriptors
            .saturating_sub(max_in_flight * DESCRIPTORS_IN_FLIGHT)
            .min(quarter / BYTES_WAITING);
        Limits {
            max_connections: connections
                .min(MAX_CONNECTIONS.max(max_in_flight + MIN_ROOM))
                .max(max_in_flight + 1),
            max_in_flight,
            // At least one body of the largest size, whatever the memory.
            body_budget: quarter.clamp(body_limit, 1 << 30),
            memory_limit: resources.memory_limit,
        }
    }
}

impl Resources {
    /// Reads rlimits and control groups. The soft limit of descriptors is raised to the hard one
    /// (65,536 at most): the usual 1,024 is for programs that use select(2).
    pub fn of_this_process() -> Resources {
        let mut descriptors = rlimit(libc::RLIMIT_NOFILE);
        let wanted = descriptors.rlim_max.min(65_536).max(descriptors.rlim_cur.min(65_536));
        descriptors.rlim_cur = wanted;
        // SAFETY: the call takes a valid rlimit. If it fails the old limit is what counts.
        let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &descriptors) } == 0;
        let descriptors = if raised { wanted } else { rlimit(libc::RLIMIT_NOFILE).rlim_cur };
        let by_user = rlimit(libc::RLIMIT_NPROC).rlim_cur;
        let by_group = group("pids.max").unwrap_or(u64::MAX);
        let total = total_memory();
        // The first version of control groups writes no limit as a number beyond all memory.
        let memory_limit = group("memory.max")
            .or_else(|| number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
            .filter(|limit| *limit < total);
        Resources {
            descriptors: usize::try_from(descriptors).unwrap_or(usize::MAX),
            threads: usize::try_from(by_user.min(by_group)).unwrap_or(usize::MAX),
            memory_bytes: memory_limit.unwrap_or(total),
            memory_limit,
        }
    }
}

#[cfg(target_env = "gnu")]
type ResourceName = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type ResourceName = libc::c_int;

fn rlimit(resource: ResourceName) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call takes a valid rlimit to write to.
    unsafe { libc::getrlimit(resource, &mut limit) };
    limit
}

/// A limit of this process's control group, or of the next one above that the container shows.
fn group(file: &str) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut path = own.trim_end_matches('/');
    loop {
        if let Some(limit) = number_in(&format!("/sys/fs/cgroup{path}/{file}")) {
            return Some(limit);
        }
        path = path.rsplit_once('/')?.0;
    }
}

/// The number in a file; `max` is none.
fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
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
