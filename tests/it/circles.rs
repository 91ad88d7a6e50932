//! Modules that stand beside each other import in one direction: no circle, at any depth of the tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::layers::{Source, sources};

/// A module's path below the crate, as `["translate", "answer"]`.
type Module = Vec<String>;

/// The tree of modules, and what each hands on with `use`.
struct Tree {
    modules: BTreeSet<Module>,
    /// By the module that hands it on and its name there: where the item is from.
    handed_on: HashMap<(Module, String), Module>,
}

impl Tree {
    fn new(sources: &[Source]) -> Tree {
        let modules = sources.iter().map(Source::path).collect();
        let mut tree = Tree { modules, handed_on: HashMap::new() };
        // Twice, since a name may be handed on by more than one module.
        for _ in 0..2 {
            let mut handed_on = HashMap::new();
            for source in sources {
                for path in paths(&source.code) {
                    if let (Some(item), Some(from)) = (path.last(), tree.resolve(source, &path)) {
                        handed_on.insert((source.path(), item.clone()), from);
                    }
                }
            }
            tree.handed_on = handed_on;
        }
        tree
    }

    /// The module that the path, found in `source`, leads to; `None` where it is another crate's.
    fn resolve(&self, source: &Source, path: &[String]) -> Option<Module> {
        let here = source.path();
        let (mut module, mut rest) = match path[0].as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (here, &path[1..]),
            "super" => (here, path),
            child => {
                let below = [&here[..], &[child.to_owned()]].concat();
                if !self.modules.contains(&below) {
                    return None;
                }
                (here, path)
            }
        };
        while rest.first().is_some_and(|name| name == "super") {
            module.pop();
            rest = &rest[1..];
        }
        for name in rest {
            module.push(name.clone());
            if !self.modules.contains(&module) {
                module.pop();
                let from = self.handed_on.get(&(module.clone(), name.clone()));
                return Some(from.cloned().unwrap_or(module));
            }
        }
        Some(module)
    }
}

/// The paths in the code that may lead to another module: those of its imports, and those that name
/// where they begin.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::", "self::", "use "] {
        for (at, _) in code.match_indices(start) {
            let (before, word) = (&code[..at], start.strip_prefix("use").map_or(at, |_| at + 4));
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                tree_of_paths(&code[word..], &mut Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// Reads a path, or a tree of them in braces; gives how many bytes it took.
fn tree_of_paths(code: &str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let depth = prefix.len();
    let mut at = 0;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if code[at..].starts_with('{') {
            at += 1;
            while at < code.len() && !code[at..].trim_start().starts_with('}') {
                at += tree_of_paths(&code[at..], prefix, paths);
                at += code[at..].find([',', '}']).unwrap_or(0);
                at += usize::from(code[at..].starts_with(','));
            }
            break;
        }
        let name = code[at..].find(|c| !is_part(c)).map_or(&code[at..], |end| &code[at..at + end]);
        at += name.len();
        if name.is_empty() {
            break;
        }
        prefix.push(name.to_owned());
        if !code[at..].starts_with("::") {
            // `a::{self}` is `a`.
            let is_self = name == "self" && prefix.len() > 1;
            paths.push(prefix[..prefix.len() - usize::from(is_self)].to_vec());
            break;
        }
        at += 2;
    }
    prefix.truncate(depth);
    at.max(1)
}

/// Which of the modules below one parent imports which, and a file that does.
type Arrows = BTreeMap<String, BTreeMap<String, String>>;

/// A way from a module back to itself.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    fn walk(arrows: &Arrows, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().expect("a start").clone();
        for next in arrows.get(&here).into_iter().flat_map(BTreeMap::keys) {
            let seen = way.contains(next);
            way.push(next.clone());
            if seen || (!done.contains(next) && walk(arrows, way, done)) {
                return true;
            }
            way.pop();
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(arrows, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn no_module_is_imported_by_what_it_imports() {
    let sources: Vec<Source> = sources()
        .into_iter()
        .filter(|source| !source.path().is_empty())
        .map(|source| source.without_tests())
        .collect();
    let tree = Tree::new(&sources);
    let mut below: BTreeMap<Module, Arrows> = BTreeMap::new();
    for source in &sources {
        let from = source.path();
        for to in paths(&source.code).iter().filter_map(|path| tree.resolve(source, path)) {
            let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(same), to.get(same)) {
                let arrows = below.entry(from[..same].to_vec()).or_default();
                let place = arrows.entry(a.clone()).or_default().entry(b.clone()).or_default();
                *place = source.path.display().to_string();
            }
        }
    }
    assert!(below.values().map(BTreeMap::len).sum::<usize>() > 60, "the imports are not read");
    let circles: Vec<String> = below
        .iter()
        .filter_map(|(parent, arrows)| {
            let way = circle(arrows)?;
            let steps = way.windows(2).map(|step| {
                format!("{} imports {} (src/{})", step[0], step[1], arrows[&step[0]][&step[1]])
            });
            Some(format!("below {parent:?}: {}", steps.collect::<Vec<_>>().join(", ")))
        })
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_seen() {
    let source = |path: &str, code: &str| Source { path: path.into(), code: code.to_owned() };
    let sources = [
        source("a/mod.rs", "mod b;\nmod c;\npub use b::{B, deep::{D as E}};"),
        source("a/b.rs", "use crate::x::{self, Y};\nfn f() { super::c::g() }"),
        source("a/c.rs", "use crate::a::B;"),
        source("x.rs", "use std::io;"),
    ];
    let tree = Tree::new(&sources);
    let found = |at: usize| -> BTreeSet<Module> {
        let source: &Source = &sources[at];
        paths(&source.code).iter().filter_map(|path| tree.resolve(source, path)).collect()
    };
    let module = |path: &str| -> Module { path.split('/').map(str::to_owned).collect() };
    assert_eq!(found(1), BTreeSet::from([module("x"), module("a/c")]));
    assert_eq!(found(2), BTreeSet::from([module("a/b")]));
    assert!(found(3).is_empty());
    let arrows = |steps: &[(&str, &str)]| {
        let mut arrows = Arrows::new();
        for (from, to) in steps {
            arrows.entry((*from).into()).or_default().insert((*to).into(), String::new());
        }
        circle(&arrows).is_some()
    };
    assert!(arrows(&[("b", "c"), ("c", "d"), ("d", "b")]));
    assert!(!arrows(&[("b", "c"), ("b", "d"), ("c", "d")]));
}
