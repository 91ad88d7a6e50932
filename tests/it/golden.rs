//! Golden pairs: a case is a file of `tests/golden/<dir>`, what comes of it stands beside it.
//!
//! `tests/golden/README.md` tells how to add and read one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A kind of pair: the directory, and how the names of its inputs and outputs end.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub dir: &'static str,
    pub input: &'static str,
    pub output: &'static str,
}

/// An input: its name without the ending, and its bytes.
pub(crate) struct Case {
    pub name: String,
    pub input: Vec<u8>,
}

impl Kind {
    fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(self.dir).join(file)
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path("")).expect("the directory of the cases");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.map(|name| name.into_string().expect("a name in UTF-8")).collect()
    }

    /// Every input, in the order of the names.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let files = self.files();
        let names = files.iter().filter_map(|file| file.strip_suffix(self.input));
        let case = |name: &str| Case {
            name: name.to_owned(),
            input: fs::read(self.path(&format!("{name}{}", self.input))).expect("a case"),
        };
        let cases: Vec<Case> = names.map(case).collect();
        assert!(!cases.is_empty(), "no cases in {}", self.dir);
        cases
    }

    /// Compares what `translate` makes of each input with the outputs on disk, or with
    /// `UPDATE_GOLDEN=1` writes them. A case may have several outputs, each with a name.
    pub(crate) fn check(&self, translate: impl Fn(&Case) -> Vec<(String, String)>) {
        let update = std::env::var_os("UPDATE_GOLDEN").is_some();
        let mut faults = Vec::new();
        let mut known = BTreeSet::new();
        for case in self.cases() {
            known.insert(format!("{}{}", case.name, self.input));
            for (name, got) in translate(&case) {
                let file = format!("{name}{}", self.output);
                let path = self.path(&file);
                match fs::read_to_string(&path) {
                    _ if update => fs::write(&path, got).expect("a golden file is written"),
                    Ok(wanted) if wanted == got => {}
                    Ok(wanted) => faults.push(difference(&file, &wanted, &got)),
                    Err(_) => faults.push(format!(
                        "{file} is missing: run UPDATE_GOLDEN=1 cargo test, and read what it wrote"
                    )),
                }
                known.insert(file);
            }
        }
        for file in self.files().difference(&known) {
            faults.push(format!("{file} has no input: remove it, or add its *{}", self.input));
        }
        assert!(faults.is_empty(), "in tests/golden/{}:\n{}", self.dir, faults.join("\n"));
    }
}

/// The first line in which two texts differ.
fn difference(file: &str, wanted: &str, got: &str) -> String {
    let same = wanted.lines().zip(got.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    format!("{file}:{}\n  wanted {}\n  got    {}", same + 1, line(wanted), line(got))
}
