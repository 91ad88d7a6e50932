//! Whether this is a container, and which of its processes is the server.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Variables that mark a container: of Kubernetes, Fly.io, Cloud Run, Nomad, and of whoever keeps
/// to <https://systemd.io/CONTAINER_INTERFACE/>, as Podman and LXC do.
const VARIABLES: &[&str] =
    &["KUBERNETES_SERVICE_HOST", "FLY_APP_NAME", "K_SERVICE", "NOMAD_ALLOC_ID", "container"];

/// Files that mark one: of Docker and of Podman.
const FILES: &[&str] = &["/.dockerenv", "/run/.containerenv"];

/// Whether this process is what the container is for; `is_set` tells whether a variable is.
///
/// It is the first process of it, or the child of an init such as Docker's `--init` and Fly.io's.
/// The marks alone are also where people work in a container.
pub fn is_own(is_set: impl Fn(&str) -> bool) -> bool {
    std::process::id() == 1 || (std::os::unix::process::parent_id() == 1 && is_marked(is_set))
}

fn is_marked(is_set: impl Fn(&str) -> bool) -> bool {
    FILES.iter().any(|mark| Path::new(mark).exists()) || VARIABLES.iter().any(|name| is_set(name))
}

/// The arguments of the server in this container, without its name: the first process, or the only
/// one beside an init that is this program too. On a machine a service of its init need not be the
/// server that is asked for.
pub fn arguments_of_server(is_set: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    server_in(Path::new("/proc"), std::process::id(), is_marked(is_set))
}

fn server_in(proc: &Path, own: u32, is_marked: bool) -> Option<Vec<String>> {
    let program = |pid: u32| {
        let file = fs::metadata(proc.join(format!("{pid}/exe"))).ok()?;
        Some((file.dev(), file.ino()))
    };
    let ours = program(own)?;
    let arguments = |pid: u32| {
        let text = fs::read(proc.join(format!("{pid}/cmdline"))).ok()?;
        let text = String::from_utf8(text).ok()?;
        let words = text.strip_suffix('\0').unwrap_or(&text).split('\0');
        Some(words.skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    if own != 1 && program(1) == Some(ours) {
        return arguments(1);
    }
    if !is_marked {
        return None;
    }
    let children = fs::read_to_string(proc.join("1/task/1/children")).ok()?;
    let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    let mut servers = children.filter(|pid| *pid != own && program(*pid) == Some(ours));
    match (servers.next(), servers.next()) {
        (Some(pid), None) => arguments(pid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory as `/proc` has it: processes by number, program and arguments, and the children
    /// of the first.
    fn check(name: &str, processes: &[(u32, &str, &str)], children: &str, wanted: Option<&[&str]>) {
        let root = std::env::temp_dir().join(format!("ccproxy-{name}-{}", std::process::id()));
        for (pid, program, arguments) in processes {
            let of = root.join(pid.to_string());
            fs::create_dir_all(of.join("task/1")).unwrap();
            fs::write(root.join(program), "").unwrap();
            std::os::unix::fs::symlink(root.join(program), of.join("exe")).unwrap();
            fs::write(of.join("cmdline"), arguments.replace(' ', "\0") + "\0").unwrap();
            fs::write(of.join("task/1/children"), children).unwrap();
        }
        let found = [true, false].map(|is_marked| server_in(&root, 7, is_marked));
        fs::remove_dir_all(&root).unwrap();
        let shown = |found: &Option<Vec<String>>| found.as_ref().map(|all| all.join(" "));
        let wanted = wanted.map(|all| all.join(" "));
        assert_eq!(shown(&found[0]), wanted, "{name}");
        // On a machine the first process alone can be this program for no other reason.
        let of_first = wanted.filter(|_| processes[0].1 == "ccproxy");
        assert_eq!(shown(&found[1]), of_first, "{name} on a machine");
    }

    #[test]
    fn the_server_is_the_first_process_or_the_inits_only_child_of_this_program() {
        let probe = (7, "ccproxy", "ccproxy --healthcheck");
        let arguments: &[&str] = &["--port", "8080"];
        check("first", &[(1, "ccproxy", "/ccproxy --port 8080"), probe], "7", Some(arguments));
        let init = (1, "tini", "tini -- /ccproxy");
        let server = (6, "ccproxy", "/ccproxy --port 8080");
        check("init", &[init, server, probe], "6 7 ", Some(arguments));
        check("two", &[init, server, (8, "ccproxy", "/ccproxy"), probe], "6 8", None);
        check("another", &[init, (6, "shell", "shell -c x"), probe], "6", None);
        check("none", &[init, probe], "", None);
    }
}
