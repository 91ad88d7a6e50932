//! The tables of the README are those of the code, and its commands work.

use std::fs;
use std::path::Path;
use std::process::Command;

use ccproxy::config::{SETTINGS, Setting};
use ccproxy::provider::{Key, PROVIDERS, Provider, Search, SessionField};

use crate::support::proxy::Setup;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

fn readme() -> String {
    fs::read_to_string(README).expect("README.md")
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

/// What the table of the providers tells of a row: heading, and cell.
type Column = (&'static str, fn(&Provider) -> String);

/// The columns of that table. It is made of the rows, so a fact stands in one place.
const COLUMNS: &[Column] = &[
    ("provider", |row| format!("`{}`", row.name)),
    ("base URL", |row| match (row.key, row.base_url) {
        (Key::Embedded, _) => "inside ccproxy".to_owned(),
        (_, "") => format!("`{}_BASE_URL`, such as `{}`", upper(row), row.example_url),
        (_, url) => format!("`{url}`"),
    }),
    ("key", |row| {
        let names: Vec<String> = row.key_vars.iter().map(|name| format!("`{name}`")).collect();
        let begin = match row.key {
            Key::Embedded => return "none".to_owned(),
            Key::Optional => "none, or ",
            Key::Required => "",
        };
        format!("{begin}{}", names.join(" or "))
    }),
    ("default model", |row| match row.model {
        "" if row.knows_claude => "the client's".to_owned(),
        "" => format!("`{}_MODEL`", upper(row)),
        model if row.model_is_inferred => format!("`{model}` (not confirmed)"),
        model => format!("`{model}`"),
    }),
    ("window", |row| tokens(row.limits_of(row.model).map(|limits| limits.window))),
    ("output", |row| tokens(row.limits_of(row.model).map(|limits| limits.output))),
    ("Messages API", |row| match (row.native, row.native_models) {
        (None, _) => String::new(),
        (Some(_), []) => "on demand".to_owned(),
        (Some(_), [""]) => "yes".to_owned(),
        (Some(_), models) => code(models.iter().map(|model| format!("{model}…"))),
    }),
    ("efforts", |row| {
        let known = row.efforts.iter().find(|known| Provider::is_among(row.model, known.models));
        known.map_or_else(String::new, |known| known.words.join(" "))
    }),
    ("web search", |row| {
        let own = match row.search {
            Search::None | Search::Unknown => None,
            Search::ResponsesTool(_) => Some("Responses API".to_owned()),
            Search::WebPlugin => Some("plugin `web`".to_owned()),
            Search::Model { name, .. } => Some(format!("`{name}`")),
            Search::EnableSearch => Some("`enable_search`".to_owned()),
            Search::Options => Some("`web_search_options`".to_owned()),
            Search::WebSearchTool => Some("tool `web_search`".to_owned()),
        };
        let native = row.native_search.then(|| "Messages API".to_owned());
        own.into_iter().chain(native).collect::<Vec<_>>().join(", ")
    }),
    ("cache", |row| {
        let session = match row.session {
            SessionField::None => None,
            SessionField::PromptCacheKey => Some("`prompt_cache_key`".to_owned()),
            SessionField::Header(name) => Some(format!("`{name}`")),
        };
        let marks = |what: &str, models: &[&str]| {
            (!models.is_empty()).then(|| format!("`{what}`{}", of_models(models)))
        };
        let control = marks("cache_control", row.cache_control_models);
        let breakpoint = marks("prompt_cache_breakpoint", row.cache_breakpoint_models);
        session.into_iter().chain(control).chain(breakpoint).collect::<Vec<_>>().join(", ")
    }),
    ("checked", |row| format!("[{}]({})", row.checked, row.source)),
];

/// ` (qwen…)`, or nothing where all are meant.
fn of_models(models: &[&str]) -> String {
    match models {
        [""] => String::new(),
        _ => {
            format!(" ({})", models.iter().map(|m| format!("{m}…")).collect::<Vec<_>>().join(", "))
        }
    }
}

/// How the names of a provider's variables begin.
fn upper(row: &Provider) -> String {
    row.name.to_ascii_uppercase().replace('-', "_")
}

/// `1,048,576`, or nothing where it is not known or has no bound.
fn tokens(number: Option<u64>) -> String {
    let digits = number.filter(|number| *number > 0).map(|number| number.to_string());
    let digits = digits.unwrap_or_default();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The table as README.md must have it.
fn table_of_providers() -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(COLUMNS.iter().map(|(heading, _)| (*heading).to_owned()).collect());
    table.push_str(&"|---".repeat(COLUMNS.len()));
    table.push_str("|\n");
    for row in PROVIDERS {
        table.push_str(&line(COLUMNS.iter().map(|(_, cell)| cell(row)).collect()));
    }
    table
}

/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_table_of_the_providers_is_that_of_the_code() {
    let readme = readme();
    let table = table_of_providers();
    let begin = readme.find("| provider | base URL |").expect("README.md has the table");
    let end = begin + readme[begin..].find("\n\n").expect("a paragraph follows") + 1;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let updated = format!("{}{table}{}", &readme[..begin], &readme[end..]);
        return fs::write(README, updated).expect("README.md can be written");
    }
    let found = &readme[begin..end];
    let differing = found.lines().zip(table.lines()).find(|(found, wanted)| found != wanted);
    assert!(found == table, "run UPDATE_GOLDEN=1 cargo test, and read the diff: {differing:?}");
}

/// The dialect server speaks for every one, with the model that is its default.
#[test]
fn every_row_has_its_dialect_in_the_test_server() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/dialects");
    // Which speak as their user has made them, or are no provider of others.
    let own = ["custom", "echo"];
    for row in PROVIDERS.iter().filter(|row| !own.contains(&row.name)) {
        let path = directory.join(format!("{}.py", row.name.replace('-', "_")));
        let dialect = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        // Those that differ from another one by their address alone have its file.
        let is_same = dialect.contains("import DIALECT\n");
        let has_model = dialect.contains(&format!("\"{}\"", row.model)) || row.model.is_empty();
        assert!(is_same || has_model || row.key == Key::Optional, "{}: {}", row.name, row.model);
    }
}

/// A fact without its day and its page cannot be looked up again.
#[test]
fn every_row_says_when_it_was_looked_up_and_where() {
    for row in PROVIDERS {
        let is_day = row.checked.len() == 10
            && row.checked.bytes().enumerate().all(|(i, b)| match i {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            });
        assert!(is_day, "{}: checked on {:?}", row.name, row.checked);
        let is_page = |page: &str| page.starts_with("https://");
        assert!(is_page(row.source) || row.key == Key::Embedded, "{}: {:?}", row.name, row.source);
        for limits in row.limits {
            assert!(is_page(limits.source), "{}: {limits:?}", row.name);
            assert!(!limits.models.is_empty() && limits.window > 0, "{}: {limits:?}", row.name);
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
