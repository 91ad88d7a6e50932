//! The tables of the README are those of the code, and its commands work.

use std::fs;
use std::path::Path;
use std::process::Command;

use ccproxy::config::{SETTINGS, Setting};
use ccproxy::provider::PROVIDERS;

use crate::support::proxy::Setup;

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("README.md")
}

/// The cells of every row whose first cell is `first`.
fn rows<'a>(text: &'a str, first: &str) -> Vec<Vec<&'a str>> {
    let rows = text.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|cells| cells[0] == first).collect()
}

/// `` `a`, `b` ``
fn code(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[test]
fn every_provider_has_a_row() {
    let readme = readme();
    for provider in PROVIDERS {
        let first = code([provider.name.to_owned()]);
        let rows = rows(&readme, &first);
        assert_eq!(rows.len(), 1, "README.md needs one row that begins with | {first} |");
        let row = rows[0].join(" | ");
        for said in provider.key_vars.iter().copied().chain([provider.base_url, provider.model]) {
            assert!(row.contains(said), "the row {first} of README.md lacks {said}: {row}");
        }
    }
}

/// The row that README.md must have: flag, variables, default, meaning.
fn row(setting: &Setting) -> [String; 4] {
    let has_flag = !setting.flag.is_empty();
    [
        if has_flag { code([format!("--{}", setting.flag)]) } else { "—".to_owned() },
        code(setting.variables.iter().map(|variable| (*variable).to_owned())),
        setting.default.to_owned(),
        setting.doc.to_owned(),
    ]
}

#[test]
fn every_setting_has_a_row() {
    let readme = readme();
    for setting in SETTINGS {
        let wanted = row(setting);
        let rows = rows(&readme, &wanted[0]);
        let found = rows.iter().any(|row| row[..] == wanted[..]);
        assert!(found, "README.md needs the row | {} |; it has {rows:?}", wanted.join(" | "));
    }
}

/// The block of `language` that follows `mark` in the README.
fn block<'a>(readme: &'a str, mark: &str, language: &str) -> &'a str {
    let after = &readme[readme.find(mark).unwrap_or_else(|| panic!("README.md has {mark:?}"))..];
    let fence = format!("```{language}\n");
    let begin = after.find(&fence).expect("a block follows") + fence.len();
    &after[begin..begin + after[begin..].find("```").expect("the block ends")]
}

#[test]
fn the_file_with_several_providers_is_valid_and_means_what_is_said() {
    let readme = readme();
    let file = serde_json::from_str(block(&readme, "ccproxy.json:", "json")).expect("valid JSON");
    let mut setup = Setup::file(file).arguments(&["--check-config"]);
    for name in ["GROQ_KEY_1", "GROQ_KEY_2", "DEEPSEEK_API_KEY", "GEMINI_API_KEY"] {
        setup = setup.variable(name, "sk-of-the-readme");
    }
    let shown = setup.run();
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let wanted = block(&readme, "shows what comes of it", "text");
    assert!(shown.stdout.contains(wanted), "README.md has\n{wanted}\nand it is\n{}", shown.stdout);
    assert!(!shown.stdout.contains("sk-of-the-readme"), "no key is shown");
}

/// The commands of a README are what people type first, so one of them is typed here.
#[test]
fn the_first_message_of_the_readme_is_answered() {
    let readme = readme();
    let begin = readme.find("curl -N").expect("README.md shows a message with curl");
    let end = begin + readme[begin..].find("```").expect("the block ends");
    let proxy = Setup::echo().start();
    let command = readme[begin..end].replace("localhost:3456", &proxy.address.to_string());
    let typed = Command::new("sh").args(["-c", &command]).output().expect("sh and curl are there");
    let answer = String::from_utf8_lossy(&typed.stdout);
    assert!(answer.contains("event: message_stop"), "{answer}{typed:?}");
    assert!(answer.contains("Hello "), "{answer}");
}

/// The lines that start ccproxy with a provider, with a key in the place of the dots.
#[test]
fn every_line_that_starts_it_is_a_valid_configuration() {
    let readme = readme();
    let lines: Vec<&str> =
        readme.lines().filter(|line| line.contains('=') && line.ends_with(" ccproxy")).collect();
    assert!(lines.len() >= 3, "README.md starts ccproxy by provider: {lines:?}");
    for line in lines {
        let mut setup = Setup::empty().arguments(&["--check-config"]);
        for word in line.split(' ').filter(|word| *word != "ccproxy") {
            let (name, value) = word.split_once('=').expect("NAME=value before the command");
            setup = setup.variable(name, &value.replace('…', "sk-of-the-readme"));
        }
        let shown = setup.run();
        assert_eq!(shown.code, Some(0), "{line}: {}", shown.stderr);
        assert_eq!(shown.stderr, "", "{line}");
    }
}

/// Claude Code's first start asks Anthropic unless the token is named as here.
#[test]
fn every_line_that_starts_claude_code_has_the_token() {
    let readme = readme();
    let lines = readme.lines().filter(|line| line.starts_with("ANTHROPIC_BASE_URL="));
    let wanted = "ANTHROPIC_BASE_URL=http://localhost:3456 ANTHROPIC_AUTH_TOKEN=any claude";
    let others: Vec<&str> = lines.filter(|line| !line.starts_with(wanted)).collect();
    assert_eq!(others, Vec::<&str>::new());
    assert!(readme.contains(wanted));
}

/// A picture or a section that is linked to is there.
#[test]
fn every_link_within_the_project_leads_somewhere() {
    let readme = readme();
    let anchors: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.replace([',', '.', '`'], "").replace(' ', "-"))
        .collect();
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for target in targets.filter(|target| !target.starts_with("http")) {
        let exists = match target.strip_prefix('#') {
            Some(anchor) => anchors.iter().any(|known| known == anchor),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
        };
        assert!(exists, "README.md links to {target}");
        seen += 1;
    }
    assert!(seen > 3, "{seen} links");
}
