//! The invariants at the top of `src/lib.rs`, as far as the text of the sources can tell.

use std::fs;
use std::path::{Path, PathBuf};

use ccproxy::provider::PROVIDERS;

/// Modules that turn input into output: no IO, no clock, no environment, no random ids, no log.
const PURE: &[&str] = &[
    "anthropic",
    "bytes",
    "calendar",
    "error",
    "hash",
    "json",
    "labels",
    "openai",
    "provider",
    "redact",
    "route",
    "session",
    "sse",
    "text",
    "tokens",
    "translate",
    "typo",
    "vector",
];

/// What a pure module may not name.
const IMPURE: &[&str] = &[
    "std::io",
    "std::net",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "std::os",
    "env::var",
    "Instant",
    "SystemTime",
    "RandomState",
    "log::",
    "println!",
    "eprintln!",
];

/// Who may name what, beside the manifest.
const OWNERS: &[(&str, &[&str])] = &[
    ("tiny_http", &["api", "logging"]),
    ("mio", &["door"]),
    ("ureq", &["upstream"]),
    ("miniz_oxide", &["upstream"]),
    ("rustls", &["upstream"]),
    ("process::exit", &["main"]),
    ("env::var", &["main"]),
    ("env::args", &["main"]),
];

/// A source file: its path below `src`, and its code without comments.
pub(crate) struct Source {
    pub path: PathBuf,
    pub code: String,
}

impl Source {
    /// The path of its module: `["translate", "answer"]`; none for `lib.rs` and `main.rs`.
    pub(crate) fn path(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let names = path.iter().map(|name| name.to_str().expect("a name").to_owned());
        names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
    }

    /// The same without what is compiled for tests alone.
    pub(crate) fn without_tests(mut self) -> Source {
        let end = self.code.find("#[cfg(test)]\nmod tests").unwrap_or(self.code.len());
        self.code.truncate(end);
        self
    }

    /// The module directly below the crate that the file belongs to.
    fn module(&self) -> &str {
        let first = self.path.iter().next().and_then(|name| name.to_str()).expect("a name");
        first.trim_end_matches(".rs")
    }

    /// Fails if the code names `word`, as a whole word.
    fn must_not_name(&self, word: &str) {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        for (i, line) in self.code.lines().enumerate() {
            let names = line.match_indices(word).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                !before.ends_with(is_part) && (word.ends_with(':') || !after.starts_with(is_part))
            });
            assert!(!names, "src/{}:{} names {word}: {line}", self.path.display(), i + 1);
        }
    }
}

pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(&root).expect("below src").to_owned();
                sources.push(Source { path, code: text.lines().map(without_comment).collect() });
            }
        }
    }
    assert!(sources.len() > 20, "the sources are not where they were");
    sources
}

/// A line without its comment, and with its end.
fn without_comment(line: &str) -> String {
    let is_comment = line.trim_start().starts_with("//");
    let code = if is_comment { "" } else { line.split_once(" // ").map_or(line, |(code, _)| code) };
    format!("{code}\n")
}

/// The modules of the crate, private ones too.
fn modules() -> Vec<String> {
    let lib = sources().into_iter().find(|source| source.path == Path::new("lib.rs"));
    let code = lib.expect("src/lib.rs").code;
    let names = code.lines().filter_map(|line| {
        line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(str::to_owned).collect()
}

/// One file speaks to the system where std does not, and the compiler holds the pure modules to it.
/// Three modules may have unsafe code: system calls, the allocator, and the machine's comparison of
/// many bytes, which touches no memory.
#[test]
fn unsafe_code_is_where_it_belongs() {
    for source in sources() {
        let is_root = source.path().len() == 1;
        let may = ["heap", "vector"].contains(&source.module());
        if is_root && PURE.contains(&source.module()) && !may {
            let forbids = source.code.contains("#![forbid(unsafe_code)]");
            assert!(forbids, "src/{} does not forbid unsafe code", source.path.display());
        }
        // What has to be done before the program begins, nobody but it can do.
        let path = source.path();
        if path != ["os"] && !may && source.path != Path::new("main.rs") {
            source.must_not_name("unsafe");
        }
    }
}

#[test]
fn pure_modules_import_only_pure_modules() {
    let modules = modules();
    assert!(PURE.iter().all(|pure| modules.iter().any(|module| module == pure)));
    for source in sources().iter().filter(|source| PURE.contains(&source.module())) {
        // Its traits are also those by which bytes in memory are written and read.
        let is_in_memory = source.path == Path::new("json/spliced.rs");
        for word in IMPURE.iter().filter(|word| !(is_in_memory && **word == "std::io")) {
            source.must_not_name(word);
        }
        for module in modules.iter().filter(|module| !PURE.contains(&module.as_str())) {
            source.must_not_name(&format!("crate::{module}"));
        }
        // `use crate::{a, b}` would hide a module from the line above.
        assert!(!source.code.contains("crate::{"), "src/{}", source.path.display());
    }
}

/// What is decided about a client's connection can be simulated: nothing of it reads a clock or a
/// socket.
#[test]
fn the_core_of_the_door_does_no_io() {
    const CORE: &[&str] =
        &["connection", "body", "chunks", "head", "path", "proxy_protocol", "slot", "turns"];
    let is_core = |source: &&Source| {
        let stem = source.path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        source.module() == "door" && CORE.contains(&stem)
    };
    let sources = sources();
    assert_eq!(sources.iter().filter(is_core).count(), CORE.len());
    for Source { path, code } in sources.iter().filter(is_core) {
        let code = code.split("#[cfg(test)]").next().expect("a first piece").to_owned();
        let source = Source { path: path.clone(), code };
        for word in ["std::io", "TcpStream", "mio", "libc", "Instant::now", "log::", "unique"] {
            source.must_not_name(word);
        }
    }
}

#[test]
fn a_dependency_has_one_home() {
    for source in sources() {
        for (word, homes) in OWNERS {
            // What is compiled for tests alone may ask the environment how long to run.
            let is_test = source.path.ends_with("seeded.rs");
            if !homes.contains(&source.module()) && !is_test {
                source.must_not_name(word);
            }
        }
    }
}

#[test]
fn no_code_compares_the_name_of_a_provider() {
    // Its row, and the help text that lists the names.
    const ROWS: &[&str] = &["provider/rows.rs", "config/settings.rs"];
    for source in sources().iter().filter(|s| !ROWS.iter().any(|row| s.path == Path::new(row))) {
        // A test may name what it is about.
        let code = source.code.split("#[cfg(test)]").next().expect("a first piece");
        for provider in PROVIDERS {
            let literal = format!("\"{}\"", provider.name);
            for line in code.lines().filter(|line| line.contains(&literal)) {
                let path = source.path.display();
                let compares = ["==", "!=", "matches!", "=>", "find(", "contains("];
                assert!(
                    !compares.iter().any(|word| line.contains(word)),
                    "src/{path} compares a name; a difference is a column of the row: {line}"
                );
            }
        }
    }
}

/// A newcomer finds a behaviour by the map: it names every file, or the folder that is one thing.
#[test]
fn the_map_in_lib_rs_names_every_room() {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let lib = fs::read_to_string(lib).expect("src/lib.rs");
    let map: String = lib.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let named = map.split('`').skip(1).step_by(2).filter(|name| !name.is_empty());
    let named: Vec<&str> = named.collect();
    let is_for_tests = |name: &str| matches!(name, "simulation" | "steady" | "seeded" | "tests");
    for source in sources() {
        let path = source.path();
        let Some(name) = path.last().filter(|name| !is_for_tests(name)) else { continue };
        let whole = path.join("/");
        let folder = path[..path.len() - 1].join("/");
        let is_named = [&*whole, name, &*folder].iter().any(|name| named.contains(name));
        assert!(is_named, "src/{} is not on the map", source.path.display());
    }
}

/// rustfmt leaves comments alone. A line that is one word, as an address is, and a row of a table
/// cannot be broken.
#[test]
fn comments_keep_within_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources() {
        let text = fs::read_to_string(root.join(&source.path)).expect("a source file");
        for (i, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let words = comment.trim_start_matches(['/', '!']).trim();
            let can_be_broken = words.contains(' ') && !words.starts_with('|');
            let is_long = line.chars().count() > 100 && can_be_broken;
            assert!(!is_long, "src/{}:{}: {line}", source.path.display(), i + 1);
        }
    }
}
